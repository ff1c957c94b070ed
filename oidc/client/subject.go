package client

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"

	"github.com/passport-network/passport/pkg/outbound"
)

// maxSectorDocument bounds what is read of a sector_identifier_uri.
const maxSectorDocument = 64 << 10

// checkSubject: pairwise subjects need one host to be pairwise to (OpenID Connect Core §8.1).
func (m *Metadata) checkSubject(opts ValidateOptions) error {
	if err := oneOf("subject_type", m.SubjectType, SubjectTypes); err != nil {
		return err
	}
	// Whoever lists a redirect URI of another's host is given that sector, and no code: codes go to that host. With a
	// device there is no redirect that would prove anything.
	if m.SubjectType == "pairwise" && !opts.Operator && (len(m.RedirectURIs) == 0 || slices.Contains(m.GrantTypes, GrantDevice)) {
		return refuse("subject_type", "pairwise needs redirect_uris, and goes with the device grant for the operator's clients only")
	}
	if m.SectorIdentifierURI != "" {
		// Always https, on a public address or one that the operator lists: it is fetched.
		if reason := uriReason(m.SectorIdentifierURI, uriRules{}); reason != "" {
			return refuse("sector_identifier_uri", "%s", reason)
		}
		return nil
	}
	sector := m.sector()
	if m.SubjectType == "pairwise" && (sector == "" || loopbackHost(sector) && !opts.Operator) {
		return refuse("sector_identifier_uri", "is needed: pairwise subjects, and the redirect_uris are not all on one host that has a name")
	}
	return nil
}

// sector is the host that the client's pairwise subjects belong to; empty when there is no single one. An app's own
// scheme has none: what stands where a host would is anybody's choice.
func (m *Metadata) sector() string {
	list := m.RedirectURIs
	if m.SectorIdentifierURI != "" {
		list = []string{m.SectorIdentifierURI}
	}
	host := ""
	for _, s := range list {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || host != "" && u.Hostname() != host {
			return ""
		}
		host = u.Hostname()
	}
	return host
}

// Subject is what the client knows the person with this (public) sub by: the sub itself, or one that is the same
// within the client's sector, and says nothing outside it (OpenID Connect Core §8). Everything that names a person
// to a client asks here.
func (r *Registry) Subject(c *Client, sub string) string {
	if c.Metadata.SubjectType != "pairwise" {
		return sub
	}
	mac := hmac.New(sha256.New, r.pairwiseKey)
	mac.Write([]byte(c.Metadata.sector() + "\x00" + sub))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// checkSector fetches the document behind sector_identifier_uri: a JSON array that must hold every redirect URI
// (OpenID Connect Registration §5).
func (r *Registry) checkSector(ctx context.Context, m *Metadata) error {
	const field = "sector_identifier_uri"
	body, err := r.fetchDocument(ctx, m.SectorIdentifierURI, maxSectorDocument)
	if err != nil {
		return refuse(field, "%v", err)
	}
	var list []string
	if json.Unmarshal(body, &list) != nil {
		return refuse(field, "must lead to a JSON array of redirect URIs")
	}
	for _, uri := range m.RedirectURIs {
		if !slices.Contains(list, uri) {
			return refuse(field, "leads to a list that lacks one of the redirect_uris")
		}
	}
	return nil
}

// fetchDocument fetches what a client named. Its error has one text for whatever went wrong, so it may be shown.
func (r *Registry) fetchDocument(ctx context.Context, uri string, limit int64) ([]byte, error) {
	if r.cfg.Outbound == nil {
		return nil, outbound.ErrRefused
	}
	body, _, err := r.cfg.Outbound.Get(ctx, uri, limit)
	if err != nil {
		r.cfg.Logger.InfoContext(ctx, "clients: a document could not be fetched", "reason", outbound.Reason(err))
	}
	return body, err
}
