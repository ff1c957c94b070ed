-- A foreign key's rows are looked for whenever one that they hang on is deleted: without an index, in the whole table. The
-- index login_live has only the logins that are not ended.
-- +goose Up

CREATE INDEX login_browser ON login (browser_id);
CREATE INDEX mail_token_address ON mail_token (address_id);
