package node

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"shoal/node/api"
	"shoal/node/store"
)

// Verify compares a share with its files, or all of them, and serves what fits again.
func (n *Node) Verify(ctx context.Context, req api.VerifyRequest, progress func(api.Progress)) (api.VerifyResult, error) {
	if err := req.Check(); err != nil {
		return api.VerifyResult{}, err
	}
	if req.All {
		return n.verifyAll(ctx, req.Full, progress)
	}
	s, root, err := n.find(req.Ref)
	if err != nil {
		return api.VerifyResult{}, err
	}
	if s.State == api.StateFetching || s.State == api.StatePaused {
		return api.VerifyResult{CID: s.CID, Name: s.Name, Path: s.Path, State: s.State, OK: true, Bytes: s.HaveBytes}, nil
	}
	start, report := time.Now(), newReporter(progress)
	checked, err := n.store.Verify(ctx, root, req.Full, func(bytes int64) {
		report.rate(api.Progress{State: api.StateChecking, CID: s.CID, Name: s.Name, Bytes: bytes, Total: s.HaveBytes})
	})
	if err != nil {
		return api.VerifyResult{}, userError(err)
	}
	result := verifyResult(s.CID, s.Name, s.Path, s.HaveBytes, checked)
	result.Seconds = time.Since(start).Seconds()
	return result, nil
}

// verifyAll verifies every share in one pass and passes the results on in batches.
func (n *Node) verifyAll(ctx context.Context, full bool, progress func(api.Progress)) (api.VerifyResult, error) {
	sum := api.VerifyResult{OK: true}
	shares, err := n.store.Names()
	if err != nil {
		return sum, userError(err)
	}
	var total int64
	for _, s := range shares {
		if s.State == store.Fetching || s.State == store.Paused {
			sum.Unfinished++
		} else {
			total += s.HaveBytes
		}
	}
	start, report := time.Now(), newReporter(progress)
	out := results{report: report, last: start}
	err = n.store.VerifyAll(ctx, full, func(s store.Share, checked store.VerifyReport, err error) error {
		r := verifyResult(s.Root.String(), s.Name, s.Path, s.HaveBytes, checked)
		if err != nil {
			r.OK, r.IssueCount = false, 1
			r.Issues = []api.Issue{{Path: s.Path, Code: api.AsError(userError(err)).Code, Reason: err.Error()}}
		}
		sum.Shares++
		sum.Files, sum.Bytes, sum.Checked = sum.Files+r.Files, sum.Bytes+r.Bytes, sum.Checked+r.Checked
		if sum.IssueCount += r.IssueCount; !r.OK {
			sum.OK = false
			sum.Bad++
		}
		out.add(r)
		return ctx.Err()
	}, func(bytes int64) {
		report.rate(api.Progress{State: api.StateChecking, Bytes: bytes, Total: total})
	})
	if err != nil {
		return sum, userError(err)
	}
	out.flush()
	sum.Seconds = time.Since(start).Seconds()
	return sum, nil
}

// Bounds of one batch of results.
const (
	batchResults = 512
	batchFor     = 100 * time.Millisecond
)

// results collects the results of single shares into batches.
type results struct {
	report *reporter
	batch  []api.VerifyResult
	issues int
	last   time.Time
}

func (r *results) add(v api.VerifyResult) {
	r.batch, r.issues = append(r.batch, v), r.issues+len(v.Issues)
	if len(r.batch) >= batchResults || r.issues >= api.MaxListed || time.Since(r.last) >= batchFor {
		r.flush()
	}
}

func (r *results) flush() {
	if len(r.batch) > 0 {
		r.report.now(api.Progress{State: api.StateChecking, Verified: r.batch})
	}
	r.batch, r.issues, r.last = nil, 0, time.Now()
}

var fileCodes = map[store.FileStatus]api.Code{
	store.FileDamaged: api.Damaged, store.FileChanged: api.Changed, store.FileMissing: api.NotFound,
}

func verifyResult(cid, name, path string, bytes int64, checked store.VerifyReport) api.VerifyResult {
	r := api.VerifyResult{
		CID: cid, Name: name, Path: path, OK: len(checked.Bad) == 0,
		Files: int64(checked.Files), Bytes: bytes, Checked: checked.Bytes,
		IssueCount: int64(len(checked.Bad)), GonePlaces: checked.Gone,
	}
	if r.Gone = !r.OK; r.Gone { // all that is wrong is that nothing is at one path any more
		r.Path = checked.Bad[0].Place
		same := func(f store.FileReport) bool { return f.Place == r.Path && f.Status == store.FileMissing }
		r.Gone = gone(r.Path) && !slices.ContainsFunc(checked.Bad, func(f store.FileReport) bool { return !same(f) })
	}
	for _, bad := range checked.Bad[:min(len(checked.Bad), api.MaxListed)] {
		at := filepath.Join(bad.Place, filepath.FromSlash(bad.Path))
		r.Issues = append(r.Issues, api.Issue{Path: at, Code: fileCodes[bad.Status], Reason: bad.Reason})
	}
	return r
}
