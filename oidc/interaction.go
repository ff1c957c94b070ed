package oidc

import (
	"context"
	"crypto/sha256"
	"net/http"

	"github.com/passport-network/passport/oidc/client"
	"github.com/passport-network/passport/oidc/grant"
	"github.com/passport-network/passport/pkg/session"
)

// View is what a page within a flow may show of it.
type View struct {
	ID          string // the i of the URL
	Interaction grant.Interaction
	Client      *client.Client
	ClientName  string // in the first of ui_locales that the client has; else its plain name
	ClientHost  string
	LoginHint   string
	UILocales   string
	Display     string
	Prompt      []string
	Scopes      []string      // what granting gives; known and allowed ones only
	Claims      []string      // names asked for by the claims parameter, beyond the scopes'
	Logins      []grant.Login // live ones of this browser, newest authentication first
	Login       *grant.Login  // the one chosen; nil: none yet
}

// InteractionHash is what a login's Event and an interaction's row hold of the id in the URL.
func InteractionHash(i string) []byte {
	sum := sha256.Sum256([]byte(i))
	return sum[:]
}

// View reads an interaction for a page. ErrNoInteraction when it is missing, expired or another browser's.
func (p *Provider) View(ctx context.Context, r *http.Request, i string) (*View, error) {
	return nil, ErrNoInteraction
}

// Continue decides with what now holds, and answers.
func (p *Provider) Continue(w http.ResponseWriter, r *http.Request, i string) error { return nil }

// ContinueAs is Continue after a sign-in within this same request.
func (p *Provider) ContinueAs(w http.ResponseWriter, r *http.Request, i string, login session.Login) error {
	return nil
}

// Choose records the account chosen, and continues.
func (p *Provider) Choose(w http.ResponseWriter, r *http.Request, i, loginID string) error {
	return nil
}

// Approve is the person's yes on the consent page: it remembers, issues and answers.
func (p *Provider) Approve(w http.ResponseWriter, r *http.Request, i string) error { return nil }

// Deny is the person's no: access_denied to the client.
func (p *Provider) Deny(w http.ResponseWriter, r *http.Request, i string) error { return nil }

// ContinueLink tells where a person whose interaction was cut may go on.
func (p *Provider) ContinueLink(ctx context.Context, interactionHash []byte) (name, url string, ok bool) {
	return "", "", false
}
