package client

// ValidateOptions tell on whose behalf a document is judged.
type ValidateOptions struct {
	// AllowLoopbackHTTP lets web clients use http://localhost, http://127.0.0.1 and http://[::1]: sites under
	// development, registered by the operator or under --dev.
	AllowLoopbackHTTP bool
	// Operator: the document is the operator's own, who may let a client introspect tokens of others.
	Operator bool
}

// Validate judges every member and fills in defaults.
func (m *Metadata) Validate(opts ValidateOptions) error { return nil }
