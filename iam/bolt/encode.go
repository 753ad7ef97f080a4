package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"sluice/iam"
)

// A record is a sequence of fields, each a tag byte, the length of its value as
// a uvarint, and the value; then the CRC-32C of all that. Fields that are empty
// are left out, and tags that a reader does not know are skipped, so that a later
// release can add some.

// The tags. Numbers are never used again for something else.
const (
	tagID byte = 1 + iota
	tagWorkspace
	tagUsername
	tagName
	tagEmail
	tagPasswordHash
	tagRole // once for each
	tagEnabled
	tagMustChange
	tagCreated
	tagHash
	tagUserID
	tagPrefix
	tagExpires
	tagLastUsed
	tagPrivatePEM
	tagPublicPEM
	tagRetired
)

const sumBytes = 4

var (
	errRecord  = errors.New("record is damaged")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// fields is one pass over a record: it appends every field that it is shown, or
// sets the one that has just been read. So each kind of record names its fields
// once, in the order in which they are written.
type fields struct {
	out []byte

	reading bool
	tag     byte
	value   string
	err     error
}

func (f *fields) user(u *iam.User) {
	f.text(tagID, &u.ID)
	f.text(tagWorkspace, &u.Workspace)
	f.text(tagUsername, &u.Username)
	f.text(tagName, &u.Name)
	f.text(tagEmail, &u.Email)
	f.text(tagPasswordHash, &u.PasswordHash)
	f.texts(tagRole, &u.Roles)
	f.flag(tagEnabled, &u.Enabled)
	f.flag(tagMustChange, &u.MustChangePassword)
	f.time(tagCreated, &u.Created)
}

func (f *fields) workspace(w *iam.Workspace) {
	f.text(tagID, &w.ID)
	f.text(tagName, &w.Name)
	f.flag(tagEnabled, &w.Enabled)
	f.time(tagCreated, &w.Created)
}

func (f *fields) key(k *iam.APIKey) {
	f.text(tagHash, &k.Hash)
	f.text(tagID, &k.ID)
	f.text(tagUserID, &k.UserID)
	f.text(tagName, &k.Name)
	f.text(tagPrefix, &k.Prefix)
	f.time(tagExpires, &k.Expires)
	f.time(tagCreated, &k.Created)
	f.time(tagLastUsed, &k.LastUsed)
}

func (f *fields) signingKey(k *iam.SigningKey) {
	f.text(tagID, &k.KID)
	f.text(tagPrivatePEM, &k.PrivatePEM)
	f.text(tagPublicPEM, &k.PublicPEM)
	f.time(tagCreated, &k.Created)
	f.time(tagRetired, &k.Retired)
}

func encodeUser(u *iam.User) []byte             { return encode(u, (*fields).user) }
func encodeWorkspace(w *iam.Workspace) []byte   { return encode(w, (*fields).workspace) }
func encodeKey(k *iam.APIKey) []byte            { return encode(k, (*fields).key) }
func encodeSigningKey(k *iam.SigningKey) []byte { return encode(k, (*fields).signingKey) }

func decodeUser(record []byte) (iam.User, error) { return decode(record, (*fields).user) }
func decodeWorkspace(record []byte) (iam.Workspace, error) {
	return decode(record, (*fields).workspace)
}
func decodeKey(record []byte) (iam.APIKey, error) { return decode(record, (*fields).key) }
func decodeSigningKey(record []byte) (iam.SigningKey, error) {
	return decode(record, (*fields).signingKey)
}

func encode[T any](v *T, pass func(*fields, *T)) []byte {
	var f fields
	pass(&f, v)
	return seal(f.out)
}

// seal ends a record.
func seal(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(body, crc32.Checksum(body, castagnoli))
}

// decode reads a record. Texts are parts of one string that belongs to nobody
// else.
func decode[T any](record []byte, pass func(*fields, *T)) (v T, err error) {
	body := len(record) - sumBytes
	if body < 0 || crc32.Checksum(record[:body], castagnoli) != binary.LittleEndian.Uint32(record[body:]) {
		return v, errRecord
	}
	f := fields{reading: true}
	text := string(record[:body])
	for at := 0; at < body && f.err == nil; {
		size, n := binary.Uvarint(record[at+1 : body])
		f.tag, at = text[at], at+1+n
		if n <= 0 || size > uint64(body-at) {
			return v, errRecord
		}
		f.value, at = text[at:at+int(size)], at+int(size)
		pass(&f, &v)
	}
	return v, f.err
}

// has reports whether the field that was read is the one with a tag.
func (f *fields) has(tag byte) bool { return f.reading && f.tag == tag }

func (f *fields) append(tag byte, value string) {
	f.out = binary.AppendUvarint(append(f.out, tag), uint64(len(value)))
	f.out = append(f.out, value...)
}

func (f *fields) text(tag byte, s *string) {
	switch {
	case f.has(tag):
		*s = f.value
	case !f.reading && *s != "":
		f.append(tag, *s)
	}
}

func (f *fields) texts(tag byte, all *[]string) {
	if f.has(tag) {
		*all = append(*all, f.value)
		return
	}
	for i := range *all {
		f.text(tag, &(*all)[i])
	}
}

func (f *fields) flag(tag byte, on *bool) {
	switch {
	case f.has(tag):
		*on = true
	case !f.reading && *on:
		f.append(tag, "")
	}
}

func (f *fields) time(tag byte, t *time.Time) {
	switch {
	case f.has(tag):
		ms, n := binary.Varint([]byte(f.value))
		if n <= 0 {
			f.err = errRecord
			return
		}
		*t = time.UnixMilli(ms).UTC()
	case !f.reading && !t.IsZero():
		f.append(tag, string(binary.AppendVarint(nil, t.UnixMilli())))
	}
}

// decoding names what a damaged record is the record of; ids are no secrets.
func decoding[T any](what string, key []byte, record []byte, decode func([]byte) (T, error)) (T, error) {
	v, err := decode(record)
	if err != nil {
		return v, fmt.Errorf("%s %q: %w", what, key, err)
	}
	return v, nil
}
