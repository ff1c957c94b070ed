package templates

import "embed"

// Mail holds the texts of the mails: mail/<name>.<language>.txt (its "subject" is the subject) and .html.
//
//go:embed mail
var Mail embed.FS
