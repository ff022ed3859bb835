-- Record a connection, unless it is closed already or its slot has a newer holder. Idempotent.
-- KEYS: closed mark, slot, connection, all connections, the slot's connections.
-- ARGV: the event's fencing epoch, seconds to keep, connection id, then names and values of the record's fields.
if redis.call('EXISTS', KEYS[1]) == 1 or tonumber(redis.call('HGET', KEYS[2], 'epoch') or '0') > tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[3], 'epoch', ARGV[1], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[3], ARGV[2])
redis.call('SADD', KEYS[4], ARGV[3])
redis.call('SADD', KEYS[5], ARGV[3])
return 1
