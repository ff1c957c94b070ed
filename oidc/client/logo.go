package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/passport-network/passport/pkg/picture"
)

// logoSide is how large a logo is served, in pixels.
const logoSide = 256

// logoLimits are those of a logo as it is fetched.
var logoLimits = picture.Limits{Bytes: 256 << 10, Side: 1024}

var errLogo = errors.New("must lead to a picture: PNG, JPEG, GIF or WebP, of at most 256 KiB and 1024 pixels a side")

// fetchNamed fetches what a registration names and that must be looked at once, where it has changed: the sector's
// document and the logo. It sets c's LogoHash. before is nil for a new client. A logo that cannot be had is told to the
// operator; a client that registers itself just has none, whatever the reason: it learns nothing of our network.
func (r *Registry) fetchNamed(ctx context.Context, before, c *Client, rules ValidateOptions) (logo []byte, err error) {
	m := &c.Metadata
	if m.SectorIdentifierURI != "" && (before == nil || fetchedDiffers(&before.Metadata, m)) {
		if err := r.checkSector(ctx, m); err != nil {
			return nil, err
		}
	}
	switch {
	case m.LogoURI == "":
		c.LogoHash = ""
	case before == nil || before.Metadata.LogoURI != m.LogoURI:
		c.LogoHash = ""
		raw, err := r.fetchDocument(ctx, m.LogoURI, int64(logoLimits.Bytes))
		if err == nil {
			// Pixels alone (CVE-2021-26715; security case S1).
			logo, err = picture.Fit(ctx, raw, logoLimits, logoSide)
		}
		if errors.Is(err, picture.ErrUnfit) {
			err = errLogo
		}
		switch {
		case err != nil && rules.Operator:
			return nil, refuse("logo_uri", "%v", err)
		case err != nil:
			return nil, nil
		}
		c.LogoHash = logoHash(logo)
	}
	return logo, nil
}

func logoHash(png []byte) string {
	sum := sha256.Sum256(png)
	return hex.EncodeToString(sum[:8])
}

// fetchedDiffers tells whether what fetchNamed has judged of one is not what the other has.
func fetchedDiffers(a, b *Metadata) bool {
	if a.LogoURI != b.LogoURI || a.SectorIdentifierURI != b.SectorIdentifierURI {
		return true
	}
	if b.SectorIdentifierURI == "" {
		return false
	}
	return len(a.RedirectURIs) != len(b.RedirectURIs) || !subset(b.RedirectURIs, a.RedirectURIs)
}

func subset(part, whole []string) bool {
	have := map[string]bool{}
	for _, s := range whole {
		have[s] = true
	}
	for _, s := range part {
		if !have[s] {
			return false
		}
	}
	return true
}

// keepLogo writes the picture of a client beside it, or takes the old one away.
func (r *Registry) keepLogo(ctx context.Context, c *Client, logo []byte) error {
	switch {
	case logo != nil:
		return r.cfg.Store.SaveClientLogo(ctx, c.ID, logo)
	case c.LogoHash == "":
		return r.cfg.Store.SaveClientLogo(ctx, c.ID, nil)
	}
	return nil
}

// Logo is a client's picture as a PNG; ErrNotFound when it has none.
func (r *Registry) Logo(ctx context.Context, id string) ([]byte, error) {
	c, err := r.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if c.LogoHash == "" {
		return nil, ErrNotFound
	}
	key := id + "\x00" + c.LogoHash
	r.mu.Lock()
	png, hit := r.logos.get(key)
	r.mu.Unlock()
	if hit {
		return png, nil
	}
	png, err = r.cfg.Store.ReadClientLogo(ctx, id)
	if err != nil || logoHash(png) != c.LogoHash { // changed since c was read: good for this answer only
		return png, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logos.put(key, png, len(png))
	return png, nil
}
