package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrResourceTaken: another client serves this resource already.
var ErrResourceTaken = errors.New("another client is the resource server for this resource")

// MayAsk tells whether the client may ask for access tokens for a resource (RFC 8707 §2).
func (c *Client) MayAsk(resource string) bool { return slices.Contains(c.Metadata.Resources, resource) }

// Serves tells whether the client is the resource server of any of these.
func (c *Client) Serves(resources []string) bool {
	return slices.ContainsFunc(resources, func(s string) bool { return slices.Contains(c.Metadata.ResourceServerFor, s) })
}

// ResourceServer is the enabled client that serves a resource; ErrNotFound when none does.
func (r *Registry) ResourceServer(ctx context.Context, resource string) (*Client, error) {
	r.mu.Lock()
	id, known := r.servers.get(resource)
	epoch := r.epoch
	r.mu.Unlock()
	if !known {
		var err error
		if id, err = r.cfg.Store.ReadResourceServer(ctx, resource); err != nil && !errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("find the resource server: %w", err)
		}
		r.mu.Lock()
		if epoch == r.epoch { // else it may be from before a change
			r.servers.put(resource, id, len(resource)+len(id))
		}
		r.mu.Unlock()
	}
	c, err := r.Get(ctx, id) // an empty id is nobody's
	if err == nil && !c.Enabled() {
		return nil, ErrNotFound
	}
	return c, err
}

// maxResources bounds what one request may name.
const maxResources = 10

// ResourceParameters are the resources that a request names (RFC 8707 §2), each once. A parameter without a value is an
// absent one (RFC 6749 §3.1, §3.2). Not ok when there are more than ten.
func ResourceParameters(sent []string) (resources []string, ok bool) {
	for _, s := range sent {
		if s != "" && !slices.Contains(resources, s) {
			resources = append(resources, s)
		}
	}
	return resources, len(sent) <= maxResources
}
