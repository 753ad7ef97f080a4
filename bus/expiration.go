package bus

// ExpirationMillis is d as the broker wants it: whole milliseconds, at least
// one when d is positive, zero when there is none. Flow topics have none.
func (m *Message) ExpirationMillis() int64 {
	if m.Expiration <= 0 || m.To.Class == Flow {
		return 0
	}
	return max(1, m.Expiration.Milliseconds())
}
