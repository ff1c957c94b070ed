// Package outbound is the one HTTP client: everything that a client's registration makes us fetch or call
// (key sets, sector documents, logos, request objects, logout calls) goes through it, and what the operator has us ask: the
// service that judges human checks, and the one that knows lost passwords.
//
// The addresses of the former come from strangers, so it refuses (S1, S2): any scheme but https, addresses that are not
// public (judged when dialling, on the address that the name resolved to), ports other than 443 and 80,
// redirects, proxies, compressed and long answers, and anything that takes more than five seconds in all.
// What the operator lists is excepted. All refusals have one text: the answer must not tell a stranger what
// stands in our network. It refuses to know what is fetched.
package outbound
