package node

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"shoal/chunker"
	"shoal/node/api"
	"shoal/node/store"
)

// Move takes note that shared files lie elsewhere now. It moves nothing itself.
func (n *Node) Move(ctx context.Context, req api.MoveRequest, progress func(api.Progress)) (api.MoveResult, error) {
	var result api.MoveResult
	if err := req.Check(); err != nil {
		return result, err
	}
	from, to := filepath.Clean(req.From), filepath.Clean(req.To)
	if from == to {
		return result, api.Errorf(api.Invalid, "the old and the new path are the same: %s", to).WithHint("shoal moves no files: move it first, then name where it is now.")
	}
	start, report := time.Now(), newReporter(progress)
	moved, err := n.store.Move(ctx, from, to, func(bytes int64) {
		report.rate(api.Progress{State: api.StateChecking, Name: filepath.Base(from), Bytes: bytes})
	})
	for _, m := range moved {
		v := verifyResult(m.Share.Root.String(), m.Share.Name, m.Share.Path, m.Share.HaveBytes, m.VerifyReport)
		result.Shares = append(result.Shares, api.MovedShare{From: m.From, VerifyResult: v})
	}
	result.Seconds = time.Since(start).Seconds()
	return result, moveError(from, to, err)
}

// moveError gives an error of Move the next step.
func moveError(from, to string, err error) error {
	_, there := chunker.LstatPath(from)
	_, toErr := chunker.LstatPath(to)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist) && there == nil:
		return api.Errorf(api.NotFound, "there is no %s, and %s is still there", to, from).
			WithHint("shoal moves no files: move it first, then run this again.")
	case errors.Is(err, fs.ErrNotExist):
		return api.Errorf(api.NotFound, "there is no %s", to).WithHint("Name the path where it is now.")
	case errors.Is(err, store.ErrNotFound) && there == nil && errors.Is(toErr, fs.ErrNotExist):
		return api.Errorf(api.NotFound, "nothing is shared at %s", from).
			WithHint("The old path comes first: `shoal mv %s %s`. `shoal verify` says which shares are not where they were.", to, from)
	case errors.Is(err, store.ErrNotFound):
		return api.Errorf(api.NotFound, "nothing is shared at %s, or below it", from).
			WithHint("Name the path where it was: `shoal verify` says which shares are not there any more.")
	case errors.Is(err, store.ErrTaken):
		return api.Errorf(api.Conflict, "%w", err).WithHint("`shoal rm PATH` stops sharing what lies at the new path; the files stay.")
	case errors.Is(err, store.ErrChanged):
		return api.Errorf(api.Changed, "%w", err).WithHint("Nothing was recorded. `shoal share` offers what is there as something new.")
	}
	return userError(err)
}
