package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// ErrWrongSecret says that something was sealed under a secret that this server does not have.
var ErrWrongSecret = errors.New("sealed under another PASSPORT_SECRET: give the secret that this database was made with " +
	"(after a change of secret, the old one as PASSPORT_SECRET_PREVIOUS until `passport keys reseal` has run)")

// ErrSealed says that a sealed value is damaged, or stands in a row or column that it was not made for.
var ErrSealed = errors.New("a sealed value is damaged or in the wrong place")

// MinSecret is the least length of PASSPORT_SECRET in bytes.
const MinSecret = 32

// A sealed value: version, kind, key id, nonce, ciphertext with tag. The first two let a later release tell
// its values from these.
const (
	sealVersion = 1
	sealKind    = 'S' // AES-256-GCM under PASSPORT_SECRET
	idSize      = 8
	headSize    = 2 + idSize
	nonceSize   = 12
	tagSize     = 16
)

// Sealer encrypts values for one place in the database: a value moved to another row, column or table does
// not open. Safe for concurrent use.
type Sealer struct {
	current sealKey
	all     []sealKey // the current first
}

type sealKey struct {
	id   [idSize]byte
	aead cipher.AEAD
}

// NewSealer makes a Sealer that seals under current and opens what current or a previous secret sealed.
// Each secret must have at least MinSecret bytes.
func NewSealer(current []byte, previous ...[]byte) (*Sealer, error) {
	s := &Sealer{}
	for _, secret := range append([][]byte{current}, previous...) {
		key, err := deriveKey(secret)
		if err != nil {
			return nil, err
		}
		s.all = append(s.all, key)
	}
	s.current = s.all[0]
	return s, nil
}

func deriveKey(secret []byte) (sealKey, error) {
	if len(secret) < MinSecret {
		return sealKey{}, fmt.Errorf("PASSPORT_SECRET must have at least %d bytes", MinSecret)
	}
	// The id is an output of its own: it names the secret and tells nothing about the key.
	id, err := hkdf.Key(sha256.New, secret, nil, "passport seal id v1", idSize)
	if err != nil {
		return sealKey{}, fmt.Errorf("derive the sealing key's id: %w", err)
	}
	raw, err := hkdf.Key(sha256.New, secret, nil, "passport seal key v1", 32)
	if err != nil {
		return sealKey{}, fmt.Errorf("derive the sealing key: %w", err)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return sealKey{}, fmt.Errorf("make the sealing key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return sealKey{}, fmt.Errorf("make the sealing key: %w", err)
	}
	return sealKey{id: [idSize]byte(id), aead: aead}, nil
}

// Seal encrypts plain for one column of one row.
func (s *Sealer) Seal(table, column, row string, plain []byte) ([]byte, error) {
	out := make([]byte, headSize+nonceSize, headSize+nonceSize+len(plain)+tagSize)
	out[0], out[1] = sealVersion, sealKind
	copy(out[2:], s.current.id[:])
	nonce := out[headSize : headSize+nonceSize]
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("draw a nonce: %w", err)
	}
	return s.current.aead.Seal(out, nonce, plain, place(out[:headSize], table, column, row)), nil
}

// Open decrypts what Seal made for the same place. ErrWrongSecret: made under a secret that is not here.
// ErrSealed: damaged, or made for another place.
func (s *Sealer) Open(table, column, row string, sealed []byte) ([]byte, error) {
	if len(sealed) < headSize+nonceSize+tagSize || sealed[0] != sealVersion || sealed[1] != sealKind {
		return nil, fmt.Errorf("open %s.%s: %w", table, column, ErrSealed)
	}
	head, nonce, text := sealed[:headSize], sealed[headSize:headSize+nonceSize], sealed[headSize+nonceSize:]
	for _, k := range s.all {
		if !bytes.Equal(head[2:], k.id[:]) {
			continue
		}
		plain, err := k.aead.Open(nil, nonce, text, place(head, table, column, row))
		if err != nil {
			return nil, fmt.Errorf("open %s.%s: %w", table, column, ErrSealed)
		}
		return plain, nil
	}
	return nil, fmt.Errorf("open %s.%s: %w", table, column, ErrWrongSecret)
}

// Stale tells whether a sealed value is not under the current secret.
func (s *Sealer) Stale(sealed []byte) bool {
	return len(sealed) < headSize || !bytes.Equal(sealed[2:headSize], s.current.id[:])
}

// place is the additional data: the header, and where the value stands. Tables and columns are names of
// ours without a bar, so that the row's id may hold anything.
func place(head []byte, table, column, row string) []byte {
	return append(append([]byte(nil), head...), table+"|"+column+"|"+row...)
}
