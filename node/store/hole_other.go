//go:build !linux

package store

import "os"

// nextData cannot tell holes from data here: they are read as zeros and do not match.
func nextData(_ *os.File, from int64) (int64, bool) { return from, true }
