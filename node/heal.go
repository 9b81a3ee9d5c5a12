package node

import (
	"context"
	"time"
)

const (
	healQuiet = 3 * time.Second  // a touched file is hashed again once nothing has touched it for so long
	healRetry = 25 * time.Second // after an error, and at most between looks at what does not come to rest
	dropEvery = time.Hour        // older versions that have become too old
)

// heal lets touched files that still hold what was shared be served again, until ctx ends. It sleeps while there is nothing to do.
func (n *Node) heal(ctx context.Context) error {
	drop := time.NewTicker(dropEvery)
	defer drop.Stop()
	wait := healQuiet
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-drop.C:
			if err := n.store.DropVersions(time.Now()); err != nil && ctx.Err() == nil {
				n.log.Warn("older versions were not dropped", "err", err)
			}
			continue
		case <-n.store.Unwell():
		}
		select { // marks come in bursts, and files are touched in bursts
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		_, later, err := n.store.Heal(ctx, healQuiet)
		switch {
		case err != nil && ctx.Err() == nil:
			n.log.Warn("changed files were not looked at again", "err", err)
			wait = healRetry
		case later:
			wait = min(2*wait, healRetry)
		default:
			wait = healQuiet
		}
	}
}
