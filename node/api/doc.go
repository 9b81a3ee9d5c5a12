// Package api is the control API of a shoal daemon: HTTP and JSON over a Unix socket. Types, routes, server and client are all
// here, so that the two ends cannot drift apart. Start reading at Service.
//
// # Socket
//
// A daemon listens on api.sock in its home, mode 0600: who may open the home may control the daemon, nobody else. (On Windows
// too: it has Unix sockets since version 10.) A socket that a crash left is replaced by the next daemon, and to a client
// it is no daemon. For curl: curl --unix-socket ~/.local/share/shoal/api.sock http://shoal/v1/status
//
// # Routes
//
//	GET    /v1/version                      Version
//	GET    /v1/id                           Identity
//	GET    /v1/status                       Status
//	GET    /v1/peers                        [Peer]
//	GET    /v1/shares                       [Share]
//	GET    /v1/entries?ref=REF              [Entry]
//	DELETE /v1/shares?ref=REF               Share                       what was removed
//	POST   /v1/share      ShareRequest      stream: Progress, ShareResult
//	POST   /v1/get        GetRequest        stream: Progress, GetResult
//	POST   /v1/cat        CatRequest        frames: the bytes, Progress, CatResult
//	POST   /v1/verify     VerifyRequest     stream: Progress, VerifyResult
//	POST   /v1/move       MoveRequest       stream: Progress, MoveResult
//	GET    /v1/limits                       LimitState
//	POST   /v1/limits     LimitRequest      LimitState                  sets limits by hand
//	GET    /v1/peers/lists                  PeerLists
//	POST   /v1/peers/lists PeerListRequest  PeerLists                   allows, bans and forgets peers
//	GET    /v1/providers?ref=REF            stream: Provider
//	POST   /v1/why        WhyRequest        stream: Progress, Diagnosis
//
// REF is a CID, an absolute path or a name (MatchShare); for providers a CID or link. Fields of the JSON objects are those
// of the types' tags. In answers, fields and event kinds that a client does not know are to be ignored: new ones are added within /v1; an
// incompatible change gets /v2.
//
// # Requests are strict
//
// A request that is half understood does something else than was meant. So a field or parameter that is unknown, missing though
// it is needed, given twice, null or of another type is refused with code invalid, and named, with the nearest one that there is; so is
// a body that is not one JSON object, and a body or query where none is taken. Paths on this machine are absolute, hold no NUL byte,
// and do not lead to /dev (but /dev/shm), /proc or /sys, where the same path means something else to each process. Check of each request
// holds its rules; Client, Handler and node.Node all ask it.
//
// # Paths are bytes
//
// JSON strings are Unicode, paths are not. A byte that is not part of valid UTF-8 is written as the escape of a lone surrogate, \udc80 to
// \udcff for the bytes 0x80 to 0xff, in every string of a request or answer (Python's surrogateescape, PEP 383): "out\udcff" is the
// name out and the byte 0xff. Valid text is plain and never holds such an escape. In a query such a byte is %FF as in any URL. Other halves of
// surrogate pairs, and bodies that are not UTF-8, are refused. Marshal and Unmarshal do this; other JSON libraries show the surrogate or U+FFFD.
//
// # Streams
//
// A stream is one JSON object a line (application/x-ndjson), HTTP status 200:
//
//	{"event":"progress","progress":{"state":"fetching","bytes":1048576,…}}
//	{"event":"provider","provider":{"id":"12D3…","addrs":[…],"source":"dht"}}
//	{"event":"done","result":{…}}
//	{"event":"error","error":{"code":"exists","message":"…","hint":"…"}}
//
// Done or error ends it; a stream that ends without either was cut off. A reader that is slow misses reports that a newer
// one has replaced, and delays nothing. Closing the connection cancels the operation: it pauses a get.
//
// Frames (application/x-shoal-frames) carry the bytes of a file and such events together. A frame is a kind (one byte: D for
// data, E for an event), the length of what follows (32 bits, big-endian, at most 1 MiB), and as many bytes: of the file, or one
// event as JSON. Here too done or error ends it, and what ends without either was cut off. The reader sets the pace.
//
// # Errors
//
// Other answers have a 4xx or 5xx status and the error object above as body. Code tells programs what happened; message names
// the operation, the object and the reason; hint is the next step. See Code for the list.
//
// # Goroutines
//
// Server.Run owns the HTTP server and all its requests, and returns when they have ended. A streamed request has one
// goroutine that writes, which its handler waits for. Client starts none that outlive a call.
package api
