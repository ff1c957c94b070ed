package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// ErrRequestObject: it is none that this client may send.
var ErrRequestObject = errors.New("not a request object of this client")

// RequestObject proves a request object (OpenID Connect Core §6, RFC 9101) and returns its claims, which the caller
// judges. Signed with the algorithm that the client registered, if it registered one, and with the client's own key;
// unsigned only where its registration does not say otherwise (OpenID Connect Registration §2). ErrRequestObject, or
// the store's error.
func (r *Registry) RequestObject(ctx context.Context, c *Client, raw string) (claims []byte, err error) {
	m := &c.Metadata
	if payload, ok := unsigned(raw); ok {
		if m.RequireSignedRequestObject || m.RequestObjectSigningAlg != "" && m.RequestObjectSigningAlg != "none" {
			return nil, ErrRequestObject
		}
		return payload, nil
	}
	algs := KeyAlgs
	if m.RequestObjectSigningAlg != "" {
		algs = []string{m.RequestObjectSigningAlg}
	}
	if algs[0] == "none" {
		return nil, ErrRequestObject
	}
	jws, err := parseJWT(raw, algs)
	if err != nil {
		return nil, ErrRequestObject
	}
	typ, _ := jws.Signatures[0].Protected.ExtraHeaders["typ"].(string)
	// RFC 9101 §10.8: a JWT that the client made for another purpose is no request.
	if !requestType(typ) {
		return nil, ErrRequestObject
	}
	claims, err = r.verify(ctx, c, jws)
	if errors.Is(err, errNoKey) {
		return nil, ErrRequestObject
	}
	return claims, err
}

func requestType(typ string) bool {
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return slices.Contains([]string{"", "jwt", "oauth-authz-req+jwt"}, typ)
}

// unsigned takes an unsecured JWT apart (RFC 7519 §6): its algorithm is none, spelled just so, and it has no
// signature.
func unsigned(raw string) (payload []byte, ok bool) {
	parts := strings.Split(raw, ".")
	if len(raw) > maxJWT || len(parts) != 3 || parts[2] != "" {
		return nil, false
	}
	head, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return nil, false
	}
	members, err := object(head) // no member twice: two algorithms would be two readings
	if err != nil {
		return nil, false
	}
	var alg, typ string
	if json.Unmarshal(members["alg"], &alg) != nil || alg != "none" {
		return nil, false
	}
	if t, there := members["typ"]; there && (json.Unmarshal(t, &typ) != nil || !requestType(typ)) {
		return nil, false
	}
	for name := range members {
		if name != "alg" && name != "typ" && name != "cty" {
			return nil, false
		}
	}
	payload, err = base64.RawURLEncoding.DecodeString(parts[1])
	return payload, err == nil
}
