//go:build unix && !darwin && !netbsd && !freebsd && !aix

package chunker

import "syscall"

func ctime(st *syscall.Stat_t) int64 { return st.Ctim.Nano() }
