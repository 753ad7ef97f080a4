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

// fields appends the fields of one record.
type fields []byte

func (f *fields) text(tag byte, s string) {
	if s == "" {
		return
	}
	*f = append(*f, tag)
	*f = binary.AppendUvarint(*f, uint64(len(s)))
	*f = append(*f, s...)
}

func (f *fields) flag(tag byte, on bool) {
	if on {
		*f = append(*f, tag, 0)
	}
}

func (f *fields) time(tag byte, t time.Time) {
	if t.IsZero() {
		return
	}
	value := binary.AppendVarint(nil, t.UnixMilli())
	*f = append(*f, tag, byte(len(value)))
	*f = append(*f, value...)
}

// seal ends the record.
func (f fields) seal() []byte {
	return binary.LittleEndian.AppendUint32(f, crc32.Checksum(f, castagnoli))
}

// readFields calls each with every field of a record. Values are parts of one
// string that belongs to nobody else.
func readFields(record []byte, each func(tag byte, value string) error) error {
	body := len(record) - sumBytes
	if body < 0 || crc32.Checksum(record[:body], castagnoli) != binary.LittleEndian.Uint32(record[body:]) {
		return errRecord
	}
	text := string(record[:body])
	for at := 0; at < body; {
		tag := text[at]
		size, n := binary.Uvarint(record[at+1 : body])
		at += 1 + n
		if n <= 0 || size > uint64(body-at) {
			return errRecord
		}
		if err := each(tag, text[at:at+int(size)]); err != nil {
			return err
		}
		at += int(size)
	}
	return nil
}

func readTime(to *time.Time, value string) error {
	ms, n := binary.Varint([]byte(value))
	if n <= 0 {
		return errRecord
	}
	*to = time.UnixMilli(ms).UTC()
	return nil
}

func encodeUser(u *iam.User) []byte {
	var f fields
	f.text(tagID, u.ID)
	f.text(tagWorkspace, u.Workspace)
	f.text(tagUsername, u.Username)
	f.text(tagName, u.Name)
	f.text(tagEmail, u.Email)
	f.text(tagPasswordHash, u.PasswordHash)
	for _, role := range u.Roles {
		f.text(tagRole, role)
	}
	f.flag(tagEnabled, u.Enabled)
	f.flag(tagMustChange, u.MustChangePassword)
	f.time(tagCreated, u.Created)
	return f.seal()
}

func decodeUser(record []byte) (u iam.User, err error) {
	err = readFields(record, func(tag byte, value string) error {
		switch tag {
		case tagID:
			u.ID = value
		case tagWorkspace:
			u.Workspace = value
		case tagUsername:
			u.Username = value
		case tagName:
			u.Name = value
		case tagEmail:
			u.Email = value
		case tagPasswordHash:
			u.PasswordHash = value
		case tagRole:
			u.Roles = append(u.Roles, value)
		case tagEnabled:
			u.Enabled = true
		case tagMustChange:
			u.MustChangePassword = true
		case tagCreated:
			return readTime(&u.Created, value)
		}
		return nil
	})
	return u, err
}

func encodeWorkspace(w *iam.Workspace) []byte {
	var f fields
	f.text(tagID, w.ID)
	f.text(tagName, w.Name)
	f.flag(tagEnabled, w.Enabled)
	f.time(tagCreated, w.Created)
	return f.seal()
}

func decodeWorkspace(record []byte) (w iam.Workspace, err error) {
	err = readFields(record, func(tag byte, value string) error {
		switch tag {
		case tagID:
			w.ID = value
		case tagName:
			w.Name = value
		case tagEnabled:
			w.Enabled = true
		case tagCreated:
			return readTime(&w.Created, value)
		}
		return nil
	})
	return w, err
}

func encodeKey(k *iam.APIKey) []byte {
	var f fields
	f.text(tagHash, k.Hash)
	f.text(tagID, k.ID)
	f.text(tagUserID, k.UserID)
	f.text(tagName, k.Name)
	f.text(tagPrefix, k.Prefix)
	f.time(tagExpires, k.Expires)
	f.time(tagCreated, k.Created)
	f.time(tagLastUsed, k.LastUsed)
	return f.seal()
}

func decodeKey(record []byte) (k iam.APIKey, err error) {
	err = readFields(record, func(tag byte, value string) error {
		switch tag {
		case tagHash:
			k.Hash = value
		case tagID:
			k.ID = value
		case tagUserID:
			k.UserID = value
		case tagName:
			k.Name = value
		case tagPrefix:
			k.Prefix = value
		case tagExpires:
			return readTime(&k.Expires, value)
		case tagCreated:
			return readTime(&k.Created, value)
		case tagLastUsed:
			return readTime(&k.LastUsed, value)
		}
		return nil
	})
	return k, err
}

func encodeSigningKey(k *iam.SigningKey) []byte {
	var f fields
	f.text(tagID, k.KID)
	f.text(tagPrivatePEM, k.PrivatePEM)
	f.text(tagPublicPEM, k.PublicPEM)
	f.time(tagCreated, k.Created)
	f.time(tagRetired, k.Retired)
	return f.seal()
}

func decodeSigningKey(record []byte) (k iam.SigningKey, err error) {
	err = readFields(record, func(tag byte, value string) error {
		switch tag {
		case tagID:
			k.KID = value
		case tagPrivatePEM:
			k.PrivatePEM = value
		case tagPublicPEM:
			k.PublicPEM = value
		case tagCreated:
			return readTime(&k.Created, value)
		case tagRetired:
			return readTime(&k.Retired, value)
		}
		return nil
	})
	return k, err
}

// decoding names what a damaged record is the record of; ids are no secrets.
func decoding[T any](what string, key []byte, record []byte, decode func([]byte) (T, error)) (T, error) {
	v, err := decode(record)
	if err != nil {
		return v, fmt.Errorf("%s %q: %w", what, key, err)
	}
	return v, nil
}
