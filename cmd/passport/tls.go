package main

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// keyPair is the server's certificate, which can be read again while it serves.
type keyPair struct {
	cert, key string
	now       atomic.Pointer[tls.Certificate]
}

// load reads the files; after an error the earlier certificate stays.
func (p *keyPair) load() error {
	c, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	p.now.Store(&c)
	return nil
}

// tlsConfig allows TLS 1.2 and 1.3, and of 1.2 only suites with forward secrecy and AEAD (RFC 9325 §4.2).
func tlsConfig(pair *keyPair) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.now.Load(), nil },
	}
}
