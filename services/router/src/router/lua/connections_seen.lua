-- Note when connections were last heard of, and keep their records on. Those without a record are passed over.
-- KEYS: slot, then connections. ARGV: the event's fencing epoch, time in ms, seconds to keep. Returns how many were there.
if tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') > tonumber(ARGV[1]) then
  return 0
end
local found = 0
for at = 2, #KEYS do
  if redis.call('EXISTS', KEYS[at]) == 1 then
    redis.call('HSET', KEYS[at], 'lastSeen', ARGV[2])
    redis.call('EXPIRE', KEYS[at], ARGV[3])
    found = found + 1
  end
end
return found
