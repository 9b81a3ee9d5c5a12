package store

import (
	"log/slog"
	"time"

	"shoal/chunker"

	"github.com/ipfs/go-cid"
)

// Config of a Store. The zero value is ready to use.
type Config struct {
	Logger *slog.Logger // nil: no log

	// MayRead lets a home that cannot be written be opened for reading.
	MayRead bool

	// CheckEvery is how long the stat of an open file is trusted between served
	// leaves. 0: 100 ms; negative: checked before every leaf.
	CheckEvery time.Duration

	// Limits bound the DAGs read back from the index. Zero: chunker.DefaultLimits.
	Limits chunker.Limits

	// OpenFiles bounds the file handles, and as many directory handles, that one
	// download keeps open. 0: 64.
	OpenFiles int
}

// withDefaults fills what is zero.
func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.CheckEvery == 0 {
		c.CheckEvery = 100 * time.Millisecond
	}
	if c.Limits == (chunker.Limits{}) {
		c.Limits = chunker.DefaultLimits()
	}
	if c.OpenFiles <= 0 {
		c.OpenFiles = 64
	}
	return c
}

// State is where a share stands.
type State uint8

// The states of a share. The numbers are stored: append only.
const (
	Complete State = iota + 1 // every wanted leaf is referenced and, as far as known, unchanged
	Fetching                  // an unfinished download that a restart resumes
	Paused                    // an unfinished download that waits for the user
	Changed                   // some referenced files no longer fit; the rest is served
)

// String is the state's name in lower case.
func (s State) String() string {
	switch s {
	case Complete:
		return "complete"
	case Fetching:
		return "fetching"
	case Paused:
		return "paused"
	case Changed:
		return "changed"
	}
	return "unknown"
}

// Share describes a shared root or an unfinished download.
type Share struct {
	Root      cid.Cid
	Name      string // for people and links
	Path      string // the file or directory; of an unfinished download its .part
	Dir       bool
	Size      int64 // bytes of all content; of an unfinished download as far as known
	Files     int   // regular files, as far as known
	Leaves    int   // as far as known
	Have      int   // leaves that can be served
	HaveBytes int64
	Added     time.Time
	State     State
	Reason    string   // of Changed: the file and what happened to it
	Select    []string // paths that were asked for; empty: all
	Sub       string   // path inside the root that was asked for; "": all
	Places    []Place  // where it lies, the first that was shared first; of an unfinished download none

	LeftOut string // what a fetch left out of what was wanted, a clause; "": nothing

	// Of the result of a fetch: what was left out, at most MaxLeft of LeftN names, and how
	// many of these Force would have replaced.
	Left        []Refusal
	LeftN       int
	Replaceable int
	Part        bool       // only what was asked for has come, of a download that is for more: Path is that of the .part
	Renames     []Renaming // what got another name, as Target.Rename allows
}

// Place is one path where a shared root lies. Of several the first that is right serves a chunk.
type Place struct {
	Path      string
	Name      string
	State     State // Complete or Changed
	Reason    string
	Have      int // leaves that can be served from it
	HaveBytes int64
}

// Target says what to fetch, and where to.
type Target struct {
	Root   cid.Cid
	Dir    string   // parent directory of the result; made absolute
	Name   string   // of the result; "": last element of Sub, else the name from SetName, else the CID
	Sub    string   // path inside the root that is the result itself; "": the root
	Select []string // paths relative to the root, each an entry or a directory above entries; empty: all
	Force  bool     // replace different files at the destination, one by one
	Fixed  bool     // Name is not changed where the disk does not take it
	Rename bool     // names that the disk does not take get others

	Checked func(bytes int64) // if not nil, told how much of what is at the destination was hashed
}

// FileStatus is what Verify found about one file.
type FileStatus uint8

// The outcomes for a file.
const (
	FileOK      FileStatus = iota + 1
	FileDamaged            // the stat fits, the content does not
	FileChanged            // edited, truncated or replaced
	FileMissing            // deleted or unreadable
)

// String is the status in lower case.
func (f FileStatus) String() string {
	switch f {
	case FileOK:
		return "ok"
	case FileDamaged:
		return "damaged"
	case FileChanged:
		return "changed"
	case FileMissing:
		return "missing"
	}
	return "unknown"
}

// FileReport is a file that is not FileOK.
type FileReport struct {
	Place     string // absolute path that Path starts from
	Path      string // slash separated, relative to the share; "" for a lone file
	Status    FileStatus
	Leaves    int // of the file
	BadLeaves int // that no longer match
	Reason    string
}

// VerifyReport is the result of Verify.
type VerifyReport struct {
	Files int   // looked at
	OK    int   // of these
	Bytes int64 // re-hashed
	Bad   []FileReport
	Gone  []string // places where nothing is any more, of a share that is whole at another one: they count for nothing above
}
