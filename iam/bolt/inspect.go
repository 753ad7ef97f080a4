package bolt

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// A page starts with a header; the first two pages of a file hold a meta record
// each, of which the one with the higher transaction id counts (bbolt's format,
// version 2).
const (
	pageHeaderBytes = 16
	metaBytes       = 64
	metaMagic       = 0xED0CDAED
	maxPageBytes    = 1 << 16
)

// inspect refuses files that are too short for what they say of themselves:
// bbolt maps files into memory, and to read beyond the end of one would end the
// process.
func inspect(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	needed, ok := highWater(f)
	// Looked at afterwards: a process that has the file open makes it longer
	// before it says so.
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case info.Size() == 0:
		return fmt.Errorf("%w: the file is empty", ErrDamaged)
	case !ok:
		return fmt.Errorf("%w: it does not begin like one", ErrDamaged)
	case info.Size() < needed:
		return fmt.Errorf("%w: it is cut off, %d of at least %d bytes are left", ErrDamaged, info.Size(), needed)
	}
	return nil
}

// highWater is how many bytes the newest intact meta record accounts for. The
// second one is where the page size, which only the first one tells, puts it;
// when the first is damaged every size is tried, as bbolt does.
func highWater(f io.ReaderAt) (needed int64, ok bool) {
	var newest uint64
	for at := int64(0); at <= maxPageBytes; at = nextMeta(at) {
		var raw [pageHeaderBytes + metaBytes]byte
		if _, err := f.ReadAt(raw[:], at); err != nil {
			break
		}
		pageBytes, pages, txid, good := readMeta(raw[pageHeaderBytes:])
		if good && (!ok || txid > newest) && (at == 0 || at == pageBytes) {
			needed, newest, ok = pageBytes*pages, txid, true
		}
	}
	return needed, ok
}

func nextMeta(at int64) int64 {
	if at == 0 {
		return 1 << 10
	}
	return at << 1
}

func readMeta(m []byte) (pageBytes, pages int64, txid uint64, ok bool) {
	le := binary.LittleEndian
	sum := fnv.New64a()
	sum.Write(m[:metaBytes-8])
	pageBytes, pages, txid = int64(le.Uint32(m[8:])), int64(le.Uint64(m[40:])), le.Uint64(m[48:])
	ok = le.Uint32(m) == metaMagic && le.Uint64(m[56:]) == sum.Sum64() &&
		pageBytes <= maxPageBytes && pages > 0 && pages < 1<<40
	return pageBytes, pages, txid, ok
}

// containFault turns a panic of bbolt, which trusts its pages, into an error.
func containFault(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrDamaged, p)
	}
}

// verify reads everything once.
func (s *Store) verify() (err error) {
	// The last line of defence against a page number that leads out of the file.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer containFault(&err)
	return s.db.View(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if tx.Bucket(name) == nil {
				return fmt.Errorf("%w: it has no %s", ErrDamaged, name)
			}
		}
		if got := tx.Bucket(bucketMeta).Get(keyFormat); string(got) != format {
			return fmt.Errorf("%w: its format is %q, not %q", ErrDamaged, got, format)
		}
		if err := verifyRecords(tx); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		// All pages, those of the free list included. The channel must be drained.
		var first error
		for err := range tx.Check() {
			if first == nil {
				first = fmt.Errorf("%w: %w", ErrDamaged, err)
			}
		}
		return first
	})
}

func verifyRecords(tx *bbolt.Tx) error {
	err := walk(tx, bucketUsers, "user", decodeUser, nil)
	if err == nil {
		err = walk(tx, bucketWorkspaces, "workspace", decodeWorkspace, nil)
	}
	if err == nil {
		err = walk(tx, bucketKeys, "API key", decodeKey, nil)
	}
	if err == nil {
		err = walk(tx, bucketSigning, "signing key", decodeSigningKey, nil)
	}
	return err
}

// walk decodes every record of a bucket and hands it to each, which may be nil.
func walk[T any](tx *bbolt.Tx, bucket []byte, what string, decode func([]byte) (T, error), each func(T) error) error {
	return tx.Bucket(bucket).ForEach(func(key, record []byte) error {
		v, err := decoding(what, key, record, decode)
		if err == nil && each != nil {
			err = each(v)
		}
		return err
	})
}
