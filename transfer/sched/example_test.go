package sched_test

import (
	"fmt"
	"time"

	"shoal/transfer/sched"
)

// A download of four leaves from one peer that has everything.
func Example() {
	now := time.Now()
	s := sched.New(sched.Config{Seed: 1})
	events := []sched.Event{
		sched.Join{Peer: "alice"},
		sched.HaveAll{Peer: "alice"},
		sched.Grow{Leaves: []sched.LeafInfo{{Size: 1 << 18, Need: true}, {Size: 1 << 18, Need: true}, {Size: 1 << 18}, {Size: 100, Need: true}}},
		sched.End{},
		sched.Received{Peer: "alice", Leaf: 0, Bytes: 1 << 18},
		sched.Received{Peer: "alice", Leaf: 1, Bytes: 1 << 18},
		sched.Received{Peer: "alice", Leaf: 3, Bytes: 100},
	}
	for _, ev := range events {
		for _, action := range s.Handle(now, ev) {
			switch a := action.(type) {
			case sched.Request:
				fmt.Println("ask", string(a.Peer), "for", a.Run.Count, "from", a.Run.First)
			case sched.Done:
				fmt.Println("done")
			}
		}
	}
	// Output:
	// ask alice for 2 from 0
	// ask alice for 1 from 3
	// done
}
