package chunker

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
)

const (
	rawCID = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
	dirCID = "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4"
	oldCID = "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"
)

func TestParseLink(t *testing.T) {
	addr := "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
	for _, tt := range []struct {
		name, in string
		want     Link // Root is given as cid below
		cid      string
	}{
		{"bare raw", rawCID, Link{}, rawCID},
		{"bare with blanks", "  " + dirCID + "\n", Link{}, dirCID},
		{"version 0", oldCID, Link{}, oldCID},
		{"bare with path", dirCID + "/a/b c", Link{Path: "a/b c"}, dirCID},
		{"bare, nothing unescaped", dirCID + "/a%20b?c", Link{Path: "a%20b?c"}, dirCID},
		{"bare with query", rawCID + "?filename=x&provider=" + addr, Link{Filename: "x", Providers: []string{addr}}, rawCID},
		{"/ipfs path", "/ipfs/" + dirCID + "//a/", Link{Path: "a"}, dirCID},
		{"ipfs URL", "ipfs://" + dirCID, Link{}, dirCID},
		{"ipfs URL with all", "IPFS://" + dirCID + "/a%20b/c?filename=my+file.txt&x=y&provider=" + addr + "&provider=b#top",
			Link{Path: "a b/c", Filename: "my file.txt", Providers: []string{addr, "b"}}, dirCID},
		{"other base", "ipfs://f01701220" + strings.Repeat("00", 32), Link{}, "bafybeiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		{"filename of any bytes", "ipfs://" + rawCID + "?filename=a%ff", Link{Filename: "a\xff"}, rawCID},
		{"path gateway", "https://ipfs.io/ipfs/" + dirCID + "/a?filename=f", Link{Path: "a", Filename: "f"}, dirCID},
		{"subdomain gateway", "http://" + dirCID + ".ipfs.localhost:8080/a", Link{Path: "a"}, dirCID},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseLink(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			root, err := cid.Decode(tt.cid)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Root = root
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if again, err := ParseLink(got.String()); err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("%s reads back as %+v, %v", got, again, err)
			}
		})
	}
}

func TestParseLinkRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"nothing", "", ErrMalformed},
		{"words", "hello world", ErrMalformed},
		{"CID cut off", rawCID[:40], ErrMalformed},
		{"CID with a typo", "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5!", ErrMalformed},
		{"dag-cbor", "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua", ErrUnsupported},
		{"sha2-512", "bafkrgqhhyivzstcz3hhswshfjgy6ertgmnqeleynhwt4dlfsthi4hn7zgh4uvlsb5xncykzapi3ocd4lzogukir6ksdy6wzrnz6ohnv4aglcs", ErrUnsupported},
		{"identity", "bafkqaaa", ErrUnsupported},
		{"IPNS", "/ipns/example.com", ErrUnsupported},
		{"other scheme", "magnet://x", ErrUnsupported},
		{"way up", dirCID + "/../x", ErrMalformed},
		{"way up, escaped", "ipfs://" + dirCID + "/%2e%2e", ErrMalformed},
		{"slash, escaped", "ipfs://" + dirCID + "/a%2fb", ErrMalformed},
		{"NUL, escaped", "ipfs://" + dirCID + "/a%00", ErrMalformed},
		{"bad escape", "ipfs://" + dirCID + "/%zz", ErrMalformed},
		{"path below a block", "ipfs://" + rawCID + "/a", ErrMalformed},
		{"zero byte in filename", "ipfs://" + rawCID + "?filename=a%00", ErrMalformed},
		{"provider that is no text", "ipfs://" + rawCID + "?provider=%ff", ErrMalformed},
		{"no CID in the URL", "https://example.com/file", ErrMalformed},
		{"too long", "ipfs://" + rawCID + "?x=" + strings.Repeat("a", maxLink), ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if l, err := ParseLink(tt.in); !errors.Is(err, tt.want) {
				t.Errorf("got %+v, %v, want %v", l, err, tt.want)
			}
		})
	}
}
