package outbound

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// HTTP is c for libraries that want an http.Client: with all its rules, and answers of at most MaxBody bytes.
func (c *Client) HTTP() *http.Client { return &http.Client{Transport: transport{c}} }

type transport struct{ client *Client }

// RoundTrip implements http.RoundTripper. Its errors name the reason: whoever hands c to a library is no stranger.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.client.Do(req, MaxBody)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, Reason(err))
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", res.Status, http.StatusText(res.Status)), StatusCode: res.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: res.Header, Request: req,
		Body: io.NopCloser(bytes.NewReader(res.Body)), ContentLength: int64(len(res.Body)),
	}, nil
}
