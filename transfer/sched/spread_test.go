package sched

import (
	"slices"
	"testing"
)

func TestSpread(t *testing.T) {
	var s Spread
	a, b, c := s.Join(), s.Join(), s.Join()
	take := func(m Member, l Leaf, give, news bool) {
		t.Helper()
		if g, n := s.Take(m, l); g != give || n != news {
			t.Errorf("member %d, leaf %d: give %v, news %v; want %v, %v", m, l, g, n, give, news)
		}
	}
	given := func(m Member, want ...Run) {
		t.Helper()
		if got := s.Given(m); !slices.Equal(got, want) {
			t.Errorf("member %d is told %v, want %v", m, got, want)
		}
	}
	take(a, 5, true, true)
	take(a, 5, true, false) // again, for it came to nothing
	take(b, 5, false, false)
	take(b, 1000, true, true)
	take(c, 6, true, true)
	given(a, Run{6, 1}, Run{1000, 1})
	given(c, Run{5, 1}, Run{1000, 1})
	given(s.Join(), Run{5, 2}, Run{1000, 1})

	if back := s.Leave(a); !slices.Equal(back, []Run{{5, 1}}) {
		t.Errorf("back after leaving: %v", back)
	}
	take(b, 5, true, true)
	take(c, 5, false, false)
	if !s.Withheld(c) {
		t.Error("not withheld")
	}
	s.Exempt(c)
	if s.Withheld(c) {
		t.Error("withheld from one who is exempt")
	}
	take(c, 5, true, false)

	if !s.NextRound() || s.NextRound() {
		t.Error("a round that was over was not, or one that was new")
	}
	given(c)
	take(c, 5, true, true)
	take(b, 5, false, false)
}

func TestSpreadNumbersMembersAnew(t *testing.T) {
	var s Spread
	first := s.Join()
	for range 1 << 16 {
		m := s.Join()
		if m == first || m == 0 {
			t.Fatalf("number %d given twice", m)
		}
		s.Leave(m)
	}
	for !s.Full() {
		s.Join()
	}
	if s.Leave(first); s.Full() {
		t.Error("full though one has left")
	}
	if m := s.Join(); m != first {
		t.Errorf("member %d, want the number that is free, %d", m, first)
	}
}
