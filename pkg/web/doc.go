// Package web is the shell of all pages and endpoints: the one router, the middleware in its order, the headers
// of each kind of route, forms, the language, and the one place where an error becomes a page.
//
// The rooms beneath it (signin, myaccount) own what is on their pages and give their routes to New. It refuses
// to decide anything about a flow or an account: package oidc and package account do.
package web
