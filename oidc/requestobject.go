package oidc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/passport-network/passport/oidc/client"
)

const (
	maxObject  = 16 << 10 // bytes of a request object
	maxObjects = 200      // kept in the process
	objectSkew = 30 * time.Second
)

// errTooMany: the network has used up its budget.
var errTooMany = errors.New("too many requests")

// unfold puts what a request points to in its place: a pushed request (RFC 9126), or a request object, by value or
// by reference (Core §6, RFC 9101). A refusal is about the request object; v is then what stood beside it.
func (p *Provider) unfold(r *http.Request, c *client.Client, v url.Values) (url.Values, *refusal, error) {
	uri, one := single(v, "request_uri")
	raw, alone := single(v, "request")
	switch {
	case !one || !alone || uri != "" && raw != "":
		return v, invalid("request and request_uri stand for one request, once."), nil
	case strings.HasPrefix(uri, pushedPrefix):
		whole, err := p.readPushed(r.Context(), c, uri)
		return whole, nil, err
	case c.Metadata.RequirePushedRequests:
		return v, invalid("This client pushes its requests (RFC 9126)."), nil
	case uri == "" && raw == "":
		if c.Metadata.RequireSignedRequestObject {
			return v, invalid("This client signs its requests (RFC 9101)."), nil
		}
		return v, nil, nil
	case uri != "":
		if !p.mayBegin(r, nil) {
			return nil, nil, errTooMany // before a stranger makes us ask somebody else
		}
		var bad *refusal
		if raw, bad = p.fetchObject(r.Context(), c, uri); bad != nil {
			return v, bad, nil
		}
	}
	return p.openObject(r.Context(), c, v, raw)
}

// openObject proves a request object, and merges it over what stood beside it.
func (p *Provider) openObject(ctx context.Context, c *client.Client, v url.Values, raw string) (url.Values, *refusal, error) {
	bad := &refusal{"invalid_request_object", "The request object is not one of this client, or not valid now."}
	payload, err := p.cfg.Clients.RequestObject(ctx, c, raw)
	if errors.Is(err, client.ErrRequestObject) {
		return v, bad, nil
	} else if err != nil {
		return nil, nil, err
	}
	inside, ok := p.objectParameters(c, payload)
	if !ok || contradicts(v, inside) {
		return v, bad, nil
	}
	whole := url.Values{}
	// Core §6.1: what an OpenID Connect request has beside its object stands where the object says nothing. Any other
	// is its object alone (RFC 9101 §6.3), as is that of a client that must sign: what is outside is not signed.
	if slices.Contains(strings.Fields(v.Get("scope")), "openid") && v.Get("response_type") != "" && !c.Metadata.RequireSignedRequestObject {
		for name, values := range v {
			whole[name] = values
		}
	}
	for name, values := range inside {
		whole[name] = values
	}
	whole.Set("client_id", c.ID)
	whole.Del("request")
	whole.Del("request_uri")
	dropOurs(whole)
	return whole, nil, nil
}

// contradicts reports whether what must be the same inside and outside is not (Core §6.1).
func contradicts(v, inside url.Values) bool {
	sorted := func(s string) string {
		words := strings.Fields(s)
		slices.Sort(words)
		return strings.Join(words, " ")
	}
	in, out := inside.Get("response_type"), v.Get("response_type")
	return in != "" && out != "" && sorted(in) != sorted(out)
}

// objectClaims are the claims of a request object that are about itself (RFC 9101 §4, RFC 7519 §4.1): no parameters.
var objectClaims = []string{"iss", "aud", "exp", "nbf", "iat", "jti", "sub"}

// objectParameters reads a request object's claims as parameters; not ok when it is not for us, not of now, or not
// what a request object may be.
func (p *Provider) objectParameters(c *client.Client, payload []byte) (url.Values, bool) {
	var about struct {
		Issuer    *string         `json:"iss"`
		Audience  client.Audience `json:"aud"`
		Expires   *float64        `json:"exp"`
		NotBefore *float64        `json:"nbf"`
		IssuedAt  *float64        `json:"iat"`
	}
	members := map[string]json.RawMessage{}
	if json.Unmarshal(payload, &about) != nil || json.Unmarshal(payload, &members) != nil || len(members) > maxParams {
		return nil, false
	}
	now := p.cfg.Now()
	later := func(at *float64) bool { return at != nil && *at > float64(now.Add(objectSkew).Unix()) }
	switch {
	case about.Issuer != nil && *about.Issuer != c.ID,
		len(about.Audience) > 0 && !slices.Contains(about.Audience, p.cfg.Issuer),
		about.Expires != nil && *about.Expires <= float64(now.Unix()),
		later(about.NotBefore), later(about.IssuedAt):
		return nil, false
	}
	v := url.Values{}
	for name, value := range members {
		if slices.Contains(objectClaims, name) || string(value) == "null" {
			continue
		}
		values, ok := parameterValues(name, value)
		if !ok {
			return nil, false
		}
		v[name] = values
	}
	id, there := v["client_id"]
	if v.Has("request") || v.Has("request_uri") || there && id[0] != c.ID { // Core §6.1; RFC 9101 §5
		return nil, false
	}
	return v, true
}

// parameterValues is a claim as the parameter of its name: text as it is, numbers and booleans as they are written,
// claims and other objects as their JSON, and a list only where a parameter may repeat (H06).
func parameterValues(name string, value json.RawMessage) ([]string, bool) {
	switch value[0] {
	case '"':
		var text string
		err := json.Unmarshal(value, &text)
		return []string{text}, err == nil
	case '[':
		var list []string
		if name != "resource" || json.Unmarshal(value, &list) != nil {
			return nil, false
		}
		return list, true
	case '{':
		var compact bytes.Buffer
		if json.Compact(&compact, value) != nil {
			return nil, false
		}
		return []string{compact.String()}, true
	}
	return []string{string(value)}, true
}

// fetchObject fetches the request object behind a registered request_uri (Core §6.2). Its fragment is no part of the
// address: where it is the hash of what stands there, that never changes and is kept.
func (p *Provider) fetchObject(ctx context.Context, c *client.Client, uri string) (string, *refusal) {
	bad := &refusal{"invalid_request_uri", "The request_uri is not registered, or leads to no request object."}
	address, hash, hashed := strings.Cut(uri, "#")
	exact := slices.Contains(c.Metadata.RequestURIs, uri)
	if !exact && !slices.Contains(c.Metadata.RequestURIs, address) || p.cfg.Outbound == nil {
		return "", bad
	}
	if raw, ok := p.objects.get(uri); ok {
		return raw, nil
	}
	body, _, err := p.cfg.Outbound.Get(ctx, address, maxObject)
	if err != nil {
		return "", bad
	}
	raw := strings.TrimSpace(string(body))
	sum := sha256.Sum256(body)
	switch is := hashed && hash == encoded(sum[:]); {
	case is:
		p.objects.put(uri, raw)
	case hashed && !exact:
		// The client made this fragment for this very request, so it knew what stands there. One that was registered
		// may be of what stood there then (OpenID Connect Registration §2): it is not held to it.
		return "", bad
	}
	return raw, nil
}

// objects are request objects that never change, by their request_uri with its hash.
type objects struct {
	mu   sync.Mutex
	all  map[string]string
	keys []string // the oldest first
}

func (o *objects) get(uri string) (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	raw, ok := o.all[uri]
	return raw, ok
}

func (o *objects) put(uri, raw string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, there := o.all[uri]; there {
		return
	}
	if o.all == nil {
		o.all = map[string]string{}
	}
	if len(o.keys) >= maxObjects {
		delete(o.all, o.keys[0])
		o.keys = o.keys[1:]
	}
	o.all[uri], o.keys = raw, append(o.keys, uri)
}
