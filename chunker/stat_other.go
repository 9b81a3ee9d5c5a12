//go:build !unix

package chunker

import "io/fs"

// fillStat adds nothing here: size and modification time must do.
func fillStat(*FileStat, fs.FileInfo) {}
