//go:build darwin || netbsd || freebsd

package chunker

import "syscall"

func ctime(st *syscall.Stat_t) int64 { return st.Ctimespec.Nano() }
