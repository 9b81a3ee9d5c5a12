//go:build !linux

package store

import (
	"errors"
	"math"
	"os"
	"runtime"
)

// syncFewFiles: there is no syncfs, so dirty files are always synced one by one.
const syncFewFiles = math.MaxInt

func syncFS(f *os.File) error { return f.Sync() }

func syncData(f *os.File) error { return f.Sync() }

// syncDir makes renames in an open directory durable; Windows has no such call and
// journals them anyway.
func syncDir(f *os.File) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	return f.Sync()
}

func allocate(string, int64) error { return errors.ErrUnsupported }
