package node

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/chunker"
	"shoal/node/api"
	"shoal/node/store"
)

// Diagnosis is what Doctor found, and did.
type Diagnosis struct {
	Home      string        `json:"home"`
	Sound     bool          `json:"sound"` // nothing needs a repair (any more)
	Shares    int           `json:"shares"`
	Downloads int           `json:"downloads"`
	Nodes     int           `json:"nodes"` // inner nodes that hash to their CID
	Files     int           `json:"files"` // referenced
	ID        string        `json:"id,omitempty"`
	Findings  []HomeFinding `json:"findings"`
	Restored  []HomeRestore `json:"restored,omitempty"` // with Repair: shares and downloads, one by one
	Kept      []string      `json:"kept,omitempty"`     // with Repair: where what was damaged lies now
}

// HomeFinding is something that is wrong with a home, or worth knowing.
type HomeFinding struct {
	What   string `json:"what"` // key (missing or damaged), read (it cannot be read now), format, journal, index, record, row, node, blocks, orphan, part, lost
	Object string `json:"object,omitempty"`
	Text   string `json:"text"`
	Harm   bool   `json:"harm"` // the home is not sound
}

// HomeRestore is what became of a share or download in a repair.
type HomeRestore struct {
	CID     string `json:"cid"`
	Name    string `json:"name"`
	Path    string `json:"path"`
	Outcome string `json:"outcome"` // restored, resumed, changed, missing, failed
	Reason  string `json:"reason,omitempty"`
}

// DoctorConfig says what Doctor does.
type DoctorConfig struct {
	Home        string
	Repair      bool // make what is damaged anew; else nothing is changed
	NewIdentity bool // with Repair: make a new key where it is missing or damaged
	Progress    func(api.Progress)
}

// Doctor checks a home that no daemon uses, and with Repair mends it. Nothing is ever deleted: what was damaged is kept
// under another name. The error is about the check itself; what is wrong with the home is in the Diagnosis.
func Doctor(ctx context.Context, cfg DoctorConfig) (Diagnosis, error) {
	report := func(done, all int, name string) {
		if cfg.Progress != nil {
			cfg.Progress(api.Progress{State: api.StateChecking, Name: name, Chunks: int64(done), Files: int64(done),
				Message: "checking the home"})
		}
	}
	var d Diagnosis
	if cfg.Repair {
		m, err := store.Repair(ctx, cfg.Home, store.Config{}, buildConfig(cfg.Home), report)
		if err != nil {
			return d, doctorError(cfg.Home, err)
		}
		d.Kept = m.Kept
		for _, s := range m.Shares {
			d.Restored = append(d.Restored, HomeRestore{s.Root, s.Name, s.Path, string(s.Outcome), s.Reason})
		}
	}
	c, err := store.Examine(ctx, cfg.Home, store.Config{}, func(done, all int) { report(done, all, "") })
	if err != nil {
		return d, doctorError(cfg.Home, err)
	}
	d.Home, d.Shares, d.Downloads, d.Nodes, d.Files = c.Home, c.Shares, c.Downloads, c.Nodes, c.Rows
	d.Findings = []HomeFinding{}
	for _, f := range c.Findings {
		d.Findings = append(d.Findings, HomeFinding(f))
	}
	d.Sound = c.Sound()
	return d, d.key(cfg)
}

// key looks at the identity, and with NewIdentity makes another for one that is missing or damaged, not for one that cannot be read now.
func (d *Diagnosis) key(cfg DoctorConfig) error {
	id, err := Identity(d.Home)
	if errors.Is(err, fs.ErrNotExist) && !store.Used(d.Home) {
		return nil // the first start makes one
	}
	missing := errors.Is(err, fs.ErrNotExist)
	lost := missing || err != nil && api.AsError(err).Code == api.Damaged
	if lost && cfg.Repair && cfg.NewIdentity {
		var kept string
		if id, kept, err = ReplaceKey(d.Home); err != nil {
			return err
		}
		if kept != "" {
			d.Kept = append(d.Kept, kept)
		}
	}
	if err != nil {
		what, text := "key", "it is damaged"
		switch {
		case missing:
			text = "it is missing, and links and other peers know the shares by it"
		case !lost:
			what, text = "read", err.Error()
		}
		d.Sound = false
		d.Findings = append(d.Findings, HomeFinding{what, filepath.Join(d.Home, keyFile), text, true})
		return nil
	}
	d.ID = peer.ID(id).String()
	return nil
}

// buildConfig is how Share builds a path, but for what its caller chooses.
func buildConfig(home string) store.BuildConfig {
	refuse := refuser()
	return func(string) chunker.Config { return chunker.Config{Exclude: []string{home}, Refuse: refuse} }
}

func doctorError(home string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return api.Errorf(api.NotFound, "there is no home at %s", home).WithHint("Name it with --home.")
	}
	if errors.Is(err, store.ErrLocked) {
		return api.Errorf(api.Locked, "%w", err).WithHint("Stop it first: an index in use cannot be looked at from outside.")
	}
	return homeError(home, err)
}
