package node

import (
	"context"
	"fmt"
	"testing"

	"shoal/dht"
	"shoal/node/api"
	"shoal/transfer"
)

func TestStopIsToldAsStop(t *testing.T) {
	stopping := &Node{} // one that does not run
	for _, cause := range []error{context.Canceled, transfer.ErrClosed, dht.ErrClosed} {
		err := stopping.fetchError(fmt.Errorf("fetch: %w", cause))
		if code := api.AsError(err).Code; code != api.Stopped {
			t.Errorf("%v: code %s, want stopped", cause, code)
		}
	}
}
