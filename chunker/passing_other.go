//go:build !unix

package chunker

// passing tells errors of this moment from those of one file, which are not known here.
func passing(error) bool { return false }
