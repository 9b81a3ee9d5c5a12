package node

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"shoal/chunker"
	"shoal/node/api"
)

// secretDirs are directories whose files are secrets by custom.
var secretDirs = []string{".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".password-store", "keyrings"}

// secretFiles are patterns of base names, in lower case, of files that hold secrets by custom.
var secretFiles = []string{
	".env", ".env.*", "*.env", ".netrc", "_netrc", ".pgpass", ".my.cnf", ".npmrc", ".pypirc", ".htpasswd", ".git-credentials", ".vault-token",
	"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk", "*.asc.key",
	"wallet.dat", "identity.key", "credentials", "credentials.json", "secrets.y*ml", "secrets.json", "logins.json", "key4.db", "login data",
	"shadow", ".envrc", ".s3cfg", ".mylogin.cnf", "rclone.conf", "*.tfstate", "*.ovpn", "*.agebox", "keys.txt",
}

// harmless are names that the patterns above fit and that hold no secret.
var harmless = []string{".env.example", ".env.sample", ".env.template", "*.pub.key", "*.pub.pem"}

// namePatterns are patterns of names, sorted by how they are compared: a tree has many names.
type namePatterns struct {
	exact    map[string]bool
	suffixes map[string]bool // *SUFFIX, which begins with a dot
	globs    []string
}

func newNamePatterns(patterns []string) namePatterns {
	n := namePatterns{exact: map[string]bool{}, suffixes: map[string]bool{}}
	for _, p := range patterns {
		switch suffix, isSuffix := strings.CutPrefix(p, "*."); {
		case !strings.ContainsAny(p, `*?[\`):
			n.exact[p] = true
		case isSuffix && !strings.ContainsAny(suffix, `*?[\`):
			n.suffixes["."+suffix] = true
		default:
			n.globs = append(n.globs, p)
		}
	}
	return n
}

func (n namePatterns) fit(name string) bool {
	if n.exact[name] {
		return true
	}
	for i := range len(name) {
		if name[i] == '.' && n.suffixes[name[i:]] {
			return true
		}
	}
	return slices.ContainsFunc(n.globs, func(p string) bool { ok, _ := path.Match(p, name); return ok })
}

var secretNames, harmlessNames = newNamePatterns(secretFiles), newNamePatterns(harmless)

// secretName tells whether a file looks like a secret by its path.
func secretName(rel string) bool {
	dir, name := path.Split(strings.ToLower(rel))
	if strings.HasSuffix(name, ".pub") || harmlessNames.fit(name) {
		return false
	}
	for part := range strings.SplitSeq(dir, "/") {
		if slices.Contains(secretDirs, part) {
			return true
		}
	}
	return secretNames.fit(name)
}

// isHidden tells whether a part of a path starts with a dot.
func isHidden(rel string) bool { return strings.HasPrefix(rel, ".") || strings.Contains(rel, "/.") }

// sensitive gathers what a share includes that its owner may not know of. Peek may be called from any goroutine.
type sensitive struct {
	mu   sync.Mutex
	keys map[string]bool // files that begin like a private key
}

// Peek is chunker.Config.Peek.
func (s *sensitive) Peek(rel string, head []byte) {
	if !bytes.Contains(head, []byte("PRIVATE KEY-----")) && !isAgeKey(head) && !isNodeKey(head) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = map[string]bool{}
	}
	s.keys[rel] = true
}

// isAgeKey tells whether a line of a file is a private key of age: age-keygen writes comments before it.
func isAgeKey(file []byte) bool {
	prefix := []byte("AGE-SECRET-KEY-")
	return bytes.HasPrefix(bytes.TrimSpace(file), prefix) || bytes.Contains(file, append([]byte("\n"), prefix...))
}

// nodeKeyHead begins the private key of a libp2p node, as protobuf: type Ed25519, and 64 bytes of data.
var nodeKeyHead = []byte{8, 1, 18, ed25519.PrivateKeySize}

// isNodeKey tells whether a file is the private key of a node, as the identity.key of a home: its public half fits the private one.
func isNodeKey(file []byte) bool {
	key, ok := bytes.CutPrefix(file, nodeKeyHead)
	return ok && len(key) == ed25519.PrivateKeySize && bytes.Equal(ed25519.NewKeyFromSeed(key[:ed25519.SeedSize]), key)
}

// tell puts into res how many hidden files the tree at path has, and which look like secrets, by what is above path too. A lone file, and
// a directory that is itself one of git's own, is called as the last part of path.
func (s *sensitive) tell(tree *chunker.Tree, path string, res *api.ShareResult) {
	at, lone := filepath.ToSlash(realPath(path)), filepath.Base(path)
	if tree.Dir {
		at, lone = at+"/", lone+"/"
	}
	repositories := map[string]bool{}
	add := func(name string) {
		res.SecretCount++
		res.Secrets = append(res.Secrets, name)
	}
	for rel := range tree.Stats {
		if isHidden(rel) {
			res.Hidden++
		}
		repo := repository(at + rel)
		if repo != "" && !repositories[repo] { // its history may hold what was deleted, its config a token
			repositories[repo] = true
			name, inside := strings.CutPrefix(repo, at)
			if !inside || name == "" {
				name = lone
			}
			add(name)
		}
		if name := cmp.Or(rel, lone); (secretName(at+rel) || s.keys[rel]) && !(repo != "" && name == lone) {
			add(name)
		}
	}
	slices.Sort(res.Secrets)
	res.Secrets = res.Secrets[:min(len(res.Secrets), api.MaxListed)]
}

// repository is the directory of git's own that a file is in, with a slash at the end; "": none.
func repository(file string) string {
	if i := strings.Index("/"+file, "/.git/"); i >= 0 {
		return file[:i] + ".git/"
	}
	return ""
}
