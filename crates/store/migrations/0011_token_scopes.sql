-- What a token is for, as a JSON array of texts. NULL: everything that its user may.
ALTER TABLE api_tokens ADD COLUMN scopes_json text;
