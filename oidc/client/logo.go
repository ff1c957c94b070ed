package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	_ "image/gif"  // a format that logos come in
	_ "image/jpeg" // likewise
	"image/png"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // likewise
)

const (
	maxLogo     = 256 << 10 // bytes, as it is fetched
	maxLogoSide = 1024      // pixels, judged before anything is decoded
	maxScans    = 20        // of a JPEG: ten are usual for a progressive one
	logoSide    = 256       // pixels, as it is served
	drawAtOnce  = 2         // pictures: the rest of the machine is for people who sign in
)

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
		raw, err := r.fetchDocument(ctx, m.LogoURI, maxLogo)
		if err == nil {
			logo, err = r.drawn(ctx, raw)
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

// drawn is what redraw makes of a picture, for a few at once.
func (r *Registry) drawn(ctx context.Context, raw []byte) ([]byte, error) {
	select {
	case r.drawing <- struct{}{}:
		defer func() { <-r.drawing }()
		return redraw(raw)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// redraw decodes a picture from a stranger and draws it anew: what people's browsers get of it is pixels alone
// (CVE-2021-26715; security case S1).
func redraw(raw []byte) ([]byte, error) {
	size, kind, err := image.DecodeConfig(bytes.NewReader(raw))
	if err != nil || size.Width < 1 || size.Height < 1 || size.Width > maxLogoSide || size.Height > maxLogoSide {
		return nil, errLogo // before decoding: a small file can be a huge picture
	}
	if kind == "jpeg" && bytes.Count(raw, []byte{0xff, 0xda}) > maxScans {
		return nil, errLogo // each scan of a few bytes goes over all of the picture: thousands of them take minutes
	}
	from, _, err := image.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, errLogo
	}
	bounds := from.Bounds()
	w, h := bounds.Dx(), bounds.Dy()
	if longest := max(w, h); longest > logoSide {
		w, h = max(1, w*logoSide/longest), max(1, h*logoSide/longest)
	}
	to := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.Draw(to, to.Bounds(), image.NewUniform(color.Transparent), image.Point{}, draw.Src)
	draw.CatmullRom.Scale(to, to.Bounds(), from, bounds, draw.Over, nil)
	var out bytes.Buffer
	if err := png.Encode(&out, to); err != nil {
		return nil, errLogo
	}
	return out.Bytes(), nil
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
