package iam

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
	"unicode/utf8"
)

// Archive is a store whose records can be moved. A store need not be one. What it
// promises holds in full for a store with transactions. One without reads what
// changes during an export before or after the change, and undoes a failed import
// by deleting: when that fails too, its error says so and the records are not to be
// used.
type Archive interface {
	// Export calls each with every record of one moment, as *User, *APIKey,
	// *SigningKey and last *Workspace: those are what tells a deployment that has
	// begun from an empty one. It stops at the first error of each. The store
	// must not be used by each.
	Export(ctx context.Context, each func(record any) error) error
	// Import stores records of those types as they are, all or none. It fails
	// with ErrExists when the store holds anything already. Of two users of one
	// name the first gets it, as in the store that they come from.
	Import(ctx context.Context, records iter.Seq2[any, error]) error
}

// maxRecordBytes bounds a line of an import.
const maxRecordBytes = 1 << 20

// recordLine is a record in the JSON lines format. Members are named like the
// reference's columns; `type` says which table.
type recordLine struct {
	Type               string   `json:"type"`
	ID                 string   `json:"id,omitempty"`
	Workspace          string   `json:"workspace,omitempty"`
	Username           string   `json:"username,omitempty"`
	Name               string   `json:"name,omitempty"`
	Email              string   `json:"email,omitempty"`
	PasswordHash       string   `json:"password_hash,omitempty"`
	Roles              []string `json:"roles,omitempty"`
	Enabled            *bool    `json:"enabled,omitempty"`
	MustChangePassword *bool    `json:"must_change_password,omitempty"`
	KeyHash            string   `json:"key_hash,omitempty"`
	UserID             string   `json:"user_id,omitempty"`
	Prefix             string   `json:"prefix,omitempty"`
	Expires            string   `json:"expires,omitempty"`
	LastUsed           string   `json:"last_used,omitempty"`
	KID                string   `json:"kid,omitempty"`
	PrivatePEM         string   `json:"private_pem,omitempty"`
	PublicPEM          string   `json:"public_pem,omitempty"`
	Created            string   `json:"created,omitempty"`
	Retired            string   `json:"retired,omitempty"`
}

// The values of recordLine.Type.
const (
	lineUser       = "user"
	lineWorkspace  = "workspace"
	lineAPIKey     = "api_key"
	lineSigningKey = "signing_key"
)

// ExportLines writes all records of a store as JSON lines and returns how many.
// They hold password hashes and private keys. It stops when ctx ends.
func ExportLines(ctx context.Context, from Archive, w io.Writer) (int, error) {
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	n := 0
	err := from.Export(ctx, func(record any) error {
		n++
		return errors.Join(ctx.Err(), lines.Encode(lineOf(record)))
	})
	if err != nil {
		return n, err
	}
	return n, out.Flush()
}

func lineOf(record any) recordLine {
	switch r := record.(type) {
	case *User:
		return recordLine{
			Type: lineUser, ID: r.ID, Workspace: r.Workspace, Username: r.Username, Name: r.Name, Email: r.Email,
			PasswordHash: r.PasswordHash, Roles: r.Roles, Enabled: &r.Enabled, MustChangePassword: &r.MustChangePassword,
			Created: lineTime(r.Created),
		}
	case *Workspace:
		return recordLine{Type: lineWorkspace, ID: r.ID, Name: r.Name, Enabled: &r.Enabled, Created: lineTime(r.Created)}
	case *APIKey:
		return recordLine{
			Type: lineAPIKey, KeyHash: r.Hash, ID: r.ID, UserID: r.UserID, Name: r.Name, Prefix: r.Prefix,
			Expires: lineTime(r.Expires), Created: lineTime(r.Created), LastUsed: lineTime(r.LastUsed),
		}
	case *SigningKey:
		return recordLine{
			Type: lineSigningKey, KID: r.KID, PrivatePEM: r.PrivatePEM, PublicPEM: r.PublicPEM,
			Created: lineTime(r.Created), Retired: lineTime(r.Retired),
		}
	}
	panic(fmt.Sprintf("BUG: a record of type %T", record))
}

func lineTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stored(t).Format(time.RFC3339Nano)
}

// ImportLines stores what ExportLines wrote, all or nothing, and returns how
// many records. Errors name the line and never show what is in it. It stops when
// ctx ends, unless r does not return.
func ImportLines(ctx context.Context, to Archive, r io.Reader) (int, error) {
	n := 0
	err := to.Import(ctx, func(yield func(any, error) bool) {
		in := bufio.NewScanner(r)
		in.Buffer(nil, maxRecordBytes)
		for n = 0; in.Scan(); {
			if len(bytes.TrimSpace(in.Bytes())) == 0 {
				continue
			}
			n++
			record, err := parseLine(in.Bytes())
			if ctx.Err() != nil {
				err = ctx.Err()
			} else if err != nil {
				err = fmt.Errorf("record %d: %w", n, err)
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
		if err := in.Err(); err != nil {
			yield(nil, fmt.Errorf("after record %d: %w", n, err))
		}
	})
	return n, err
}

// parseLine reads one record, and refuses what no store should hold.
func parseLine(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("is not UTF-8")
	}
	var l recordLine
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil || d.More() {
		return nil, errors.New("is not a record as JSON") // the error could quote a secret
	}
	var times lineTimes
	var record any
	var identity string
	switch l.Type {
	case lineUser:
		identity = l.ID
		record = &User{
			ID: l.ID, Workspace: l.Workspace, Username: l.Username, Name: l.Name, Email: l.Email,
			PasswordHash: l.PasswordHash, Roles: roleSet(l.Roles), Enabled: isTrue(l.Enabled),
			MustChangePassword: isTrue(l.MustChangePassword), Created: times.parse(l.Created),
		}
	case lineWorkspace:
		identity = l.ID
		record = &Workspace{ID: l.ID, Name: l.Name, Enabled: isTrue(l.Enabled), Created: times.parse(l.Created)}
	case lineAPIKey:
		identity = l.KeyHash
		record = &APIKey{
			Hash: l.KeyHash, ID: l.ID, UserID: l.UserID, Name: l.Name, Prefix: l.Prefix,
			Expires: times.parseExpiry(l.Expires), Created: times.parse(l.Created), LastUsed: times.parse(l.LastUsed),
		}
	case lineSigningKey:
		identity = l.KID
		record = &SigningKey{
			KID: l.KID, PrivatePEM: l.PrivatePEM, PublicPEM: l.PublicPEM,
			Created: times.parse(l.Created), Retired: times.parse(l.Retired),
		}
	default:
		return nil, errors.New("has no known type")
	}
	if identity == "" || len(identity) > maxLineIDBytes {
		return nil, errors.New("has no usable identity")
	}
	return record, times.err
}

// maxLineIDBytes bounds what becomes a key in a store. The reference bounds
// nothing, so it is more than Sluice lets anybody create.
const maxLineIDBytes = 4096

func isTrue(b *bool) bool { return b != nil && *b }

// lineTimes parses times and keeps the first failure.
type lineTimes struct{ err error }

func (l *lineTimes) parse(text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		l.err = errors.New("has a time that is not RFC 3339")
	}
	return stored(t)
}

// parseExpiry is parse for an end, which no text makes no end.
func (l *lineTimes) parseExpiry(text string) time.Time {
	t := l.parse(text)
	if text == "" {
		return t
	}
	return Expiry(t)
}
