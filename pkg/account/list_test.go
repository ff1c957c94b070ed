package account

// Disposable is the built-in list of mail domains, for its test.
var Disposable = disposableList
