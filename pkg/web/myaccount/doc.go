// Package myaccount is what people see of their own account: the start page and "General information".
//
// It owns no rule about accounts: package account does.
package myaccount
