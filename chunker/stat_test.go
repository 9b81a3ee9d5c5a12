package chunker

import "testing"

// TestProves tells clocks of file systems apart.
func TestProves(t *testing.T) {
	const fine, tick, second = 1700000000_123_456_789, 1700000000_120_000_000, 1700000000_000_000_000
	rows := []struct {
		now, old int64
		proves   bool
	}{
		{fine, fine, true}, {fine, fine + 1, false}, {tick, tick, false}, {second, second, false},
		{fine, 0, false}, // an old home recorded none
		{0, 0, true},     // there are none
	}
	for _, r := range rows {
		now := FileStat{Size: 9, ModTime: second, Ctime: r.now}
		if now.Proves(FileStat{Size: 9, ModTime: second, Ctime: r.old}) != r.proves {
			t.Errorf("%d of %d: proves is %v", r.now, r.old, !r.proves)
		}
	}
}

func TestSame(t *testing.T) {
	was := FileStat{Size: 9, ModTime: 8, Inode: 7, Ctime: 6, Device: 5}
	rows := []struct {
		name   string
		change func(*FileStat)
		same   bool
	}{
		{"nothing", func(*FileStat) {}, true},
		{"size", func(s *FileStat) { s.Size++ }, false},
		{"time", func(s *FileStat) { s.ModTime++ }, false},
		{"inode", func(s *FileStat) { s.Inode++ }, false},
		{"change time", func(s *FileStat) { s.Ctime++ }, false},
		{"a disk that is numbered otherwise", func(s *FileStat) { s.Device++ }, true},
		{"device and change time", func(s *FileStat) { s.Device++; s.Ctime++ }, false},
		{"change time not known", func(s *FileStat) { s.Ctime = 0 }, true},
		{"change time not known, another device", func(s *FileStat) { s.Ctime = 0; s.Device++ }, false},
		{"neither known", func(s *FileStat) { s.Ctime, s.Device = 0, 0 }, true},
	}
	for _, r := range rows {
		old := was
		r.change(&old)
		if was.Same(old) != r.same {
			t.Errorf("%s: same is %v, want %v", r.name, !r.same, r.same)
		}
	}
}
