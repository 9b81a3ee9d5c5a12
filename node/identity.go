package node

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/node/api"
	"shoal/node/store"
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
	if store.Used(home) {
		return nil, keyError("the identity key %s is missing, and there are shares that links and other peers know by it", path)
	}
	return createKey(path)
}

// createKey makes a key unless there is one by then.
func createKey(path string) (crypto.PrivKey, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
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
	if fi, serr := os.Stat(path); err != nil && serr == nil && !fi.Mode().IsRegular() {
		return nil, keyError("the identity key %s is damaged: it is no file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read identity key: %w", err)
	}
	key, err := crypto.UnmarshalPrivateKey(raw)
	if err == nil {
		err = checkKey(key)
	}
	if err != nil {
		return nil, keyError("the identity key %s is damaged: %w", path, err)
	}
	return key, nil
}

// checkKey tells whether the two halves of an Ed25519 key belong together. Unmarshalling does not look, and with a bit flipped the node
// would have an ID that it cannot prove, so that nobody could connect.
func checkKey(key crypto.PrivKey) error {
	raw, err := key.Raw()
	if err != nil {
		return err
	}
	if key.Type() == crypto.Ed25519 && !bytes.Equal(raw, ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])) {
		return errors.New("its public half is not that of its private one")
	}
	return nil
}

// keyError says what is wrong with the key and what a user can do.
func keyError(format string, args ...any) error {
	return api.Errorf(api.Damaged, format, args...).WithHint("Put it back from a backup. If there is none, `shoal doctor --repair --new-identity` makes another: " +
		"links that name this peer then no longer lead to it, those that name only the CID do.")
}

// ReplaceKey makes a new identity; a key that is there is kept under another name, which is returned.
func ReplaceKey(home string) (id peer.ID, kept string, err error) {
	path := filepath.Join(home, keyFile)
	if _, err := os.Lstat(path); err == nil {
		kept = store.AsideName(path)
		if err := os.Rename(path, kept); err != nil {
			return "", "", fmt.Errorf("move the old key aside: %w", err)
		}
	}
	key, err := createKey(path)
	if err != nil {
		return "", kept, err
	}
	id, err = peer.IDFromPrivateKey(key)
	return id, kept, err
}
