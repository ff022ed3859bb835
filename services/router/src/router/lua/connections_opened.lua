-- Record connections, but for those that are closed already; none when their slot has a newer holder. Idempotent.
-- KEYS: slot, all connections, the slot's connections.
-- ARGV: the events' fencing epoch, seconds to keep; how keys are named (%s is the id): closed mark, connection; then for each connection its
-- record, a JSON object of strings. Returns how many were recorded.
if tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') > tonumber(ARGV[1]) then
  return 0
end
local recorded = 0
for at = 5, #ARGV do
  local record = cjson.decode(ARGV[at])
  if redis.call('EXISTS', string.format(ARGV[3], record.id)) == 0 then
    local fields = {}
    for name, value in pairs(record) do
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
    local key = string.format(ARGV[4], record.id)
    redis.call('HSET', key, 'epoch', ARGV[1], unpack(fields))
    redis.call('EXPIRE', key, ARGV[2])
    redis.call('SADD', KEYS[2], record.id)
    redis.call('SADD', KEYS[3], record.id)
    recorded = recorded + 1
  end
end
return recorded
