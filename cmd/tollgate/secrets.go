package main

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/tokens"
)

// secrets are the process's own: they protect what the store holds.
type secrets struct {
	encryption [32]byte
	pepper     tokens.Pepper
}

// loadSecrets takes the secrets from the configuration, or from files beside the
// store, which are made on first use. A store in memory gets throw-away ones.
func loadSecrets(c *config.Config, random io.Reader) (s secrets, err error) {
	if err := checkStoreFile(c.Store); err != nil {
		return s, err
	}
	if s.encryption, err = loadSecret(c.Keys.EncryptionKey, c.Store, "encryption-key", random); err != nil {
		return s, fmt.Errorf("keys.encryption_key: %w", err)
	}
	if s.pepper, err = loadSecret(c.Keys.Pepper, c.Store, "pepper", random); err != nil {
		return s, fmt.Errorf("keys.pepper: %w", err)
	}
	return s, nil
}

// checkStoreFile refuses what can be no store before anything is looked for or made
// beside it.
func checkStoreFile(store config.Store) error {
	if store.Memory {
		return nil
	}
	info, err := os.Stat(store.SQLite)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("store: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("store: %s is no regular file; name a file that is a store or can become one", store.SQLite)
	case info.Size() == 0:
		return nil
	}
	f, err := os.Open(store.SQLite)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer func() { _ = f.Close() }()
	const magic = "SQLite format 3\x00" // sqlite.org/fileformat.html section 1.3
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(f, head); err != nil || string(head) != magic {
		return fmt.Errorf("store: %s is no SQLite database; name a file that is a store or can become one", store.SQLite)
	}
	return nil
}

// loadSecret derives 32 bytes from the text. What people choose has no fixed
// length; the hash gives it one, with the purpose mixed in so that one text used
// for both secrets gives two.
func loadSecret(text string, store config.Store, purpose string, random io.Reader) (key [32]byte, err error) {
	switch {
	case text != "":
	case store.Memory:
		_, err = io.ReadFull(random, key[:])
		return key, err
	default:
		if text, err = secretFile(store.SQLite, purpose, random); err != nil {
			return key, err
		}
	}
	return sha256.Sum256([]byte("tollgate " + purpose + "\x00" + text)), nil
}

// secretFile reads the secret beside a store, or makes it for a store that is
// not there yet: a new secret beside an old store would fit nothing in it. Two
// processes that start at the same time end up with one secret: the file appears
// whole or not at all, and whoever is second reads what the first has made.
func secretFile(store, purpose string, random io.Reader) (string, error) {
	path := store + "." + purpose
	_, missing := os.Stat(store) // before the secret is looked for: it is made first
	if text, err := os.ReadFile(path); err == nil {
		if len(text) < 32 {
			return "", fmt.Errorf("%s is damaged: %d bytes, at least 32 are needed", path, len(text))
		}
		return string(text), nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if missing == nil {
		return "", fmt.Errorf("%s is missing beside the store that was made with it: restore the file from a backup, or move the store away to start anew", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".secret-*")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	var raw [32]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", err
	}
	_, err = temp.WriteString(base64.RawURLEncoding.EncodeToString(raw[:]))
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return "", err
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	text, err := os.ReadFile(path)
	return string(text), err
}
