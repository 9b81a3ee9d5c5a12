package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// keyFile holds the node's Ed25519 private key, as libp2p marshals it (protobuf).
const keyFile = "identity.key"

// Identity returns the peer ID of the node that lives in home. It reads the key
// file and needs no running daemon; fs.ErrNotExist means home has none yet.
func Identity(home string) (peer.ID, error) {
	key, err := readKey(filepath.Join(home, keyFile))
	if err != nil {
		return "", err
	}
	return peer.IDFromPrivateKey(key)
}

// EnsureIdentity is Identity, but makes the home and its key where there are none. It
// takes no lock: of two that come at once, one makes the key and both return it.
func EnsureIdentity(home string) (peer.ID, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", fmt.Errorf("make home: %w", err)
	}
	key, err := loadOrCreateKey(home)
	if err != nil {
		return "", err
	}
	return peer.IDFromPrivateKey(key)
}

// loadOrCreateKey reads the key in home, or makes one (mode 0600) the first time.
func loadOrCreateKey(home string) (crypto.PrivKey, error) {
	path := filepath.Join(home, keyFile)
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key, _, err = crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make identity key: %w", err)
	}
	raw, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make identity key: %w", err)
	}
	if err := createFile(path, raw); err != nil {
		return nil, fmt.Errorf("save identity key: %w", err)
	}
	return readKey(path) // another process may have been first
}

func readKey(path string) (crypto.PrivKey, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read identity key: %w", err)
	}
	key, err := crypto.UnmarshalPrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("identity key %s is damaged (move it away to get a new identity): %w", path, err)
	}
	return key, nil
}
