// Package store is the daemon's memory: an embedded Pebble index of what is
// shared, where each chunk lies in the user's files, and how far each download
// has come. Files are referenced in place, never copied; a download writes the
// final file and is served from it while it is still incomplete.
//
// Start reading at keys.go, which lays out the index, then record.go (the values),
// import.go (share), root.go (serve), download.go (fetch), finish.go (the step from
// NAME.part to NAME) and recover.go (what Open does after a crash).
//
// # Promises
//
//   - A leaf is served only while the stat of its file, ctime and device included, is the
//     one recorded. What no longer fits stops being served, file by file, with a reason.
//   - What was verified is trusted only while nothing else can have written to it: files
//     of a running download are watched (watch_linux.go), and hashed again before the rename
//     where something did; after an unclean stop or a failed sync recorded leaves are hashed
//     again, or written again (trust.go).
//   - A download replaces a file only if it was told to, by rename, once the new one is whole.
//   - Which shares there are is also kept outside of the index (journal.go), so that Repair
//     can make a damaged index anew.
//   - A leaf of a download is recorded only after its data is synced. A crash loses at
//     most what came after the last Checkpoint, and that is re-hashed from the .part.
//   - An import or a removal that a crash cuts short is undone or completed by Open.
//   - Nothing is written outside the destination and no symlink is followed on the way.
//
// # What is not fetched
//
// As soon as inner nodes name them, leaves are looked up: what another share here holds
// is copied (sharing its disk blocks where the file system can), what repeats an earlier
// leaf is written from that, and zeros become holes. Download.Held and News tell the fetch
// (lookup.go, local.go, brought.go, zeros.go). Nothing is marked as had before its hash
// was checked at the destination or on the way there.
//
// # Goroutines
//
// Pebble owns its own. A Download owns one, which copies chunks that other local
// shares hold, and writes repeats; Download.Finish, Pause and Close wait for it. Verify and resuming hash
// in workers that end before the call returns. Everything else runs on the
// caller's goroutine. Close the downloads and roots before the Store; the Store
// waits for nobody but closes downloads that were left open.
package store
