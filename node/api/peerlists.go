package api

// PeerLists are the peers that the user allows and bans, by ID. While Allow holds anybody, nobody else may connect. Who is
// refused is not dialled either.
type PeerLists struct {
	Allow []string `json:"allow"` // never null
	Ban   []string `json:"ban"`   // never null
}

// PeerListRequest changes the lists. A peer is a peer ID or a multiaddr that ends in /p2p/<id>, and is in one list at most.
type PeerListRequest struct {
	Allow  []string `json:"allow,omitempty"`
	Ban    []string `json:"ban,omitempty"`
	Forget []string `json:"forget,omitempty"` // taken from the list that they are in
}
