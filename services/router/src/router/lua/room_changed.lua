-- Note that a slot wants a room, or no more, unless a newer holder of the slot has said otherwise.
-- KEYS: the slot's rooms. ARGV: room, fencing epoch ('' for any), interest record (JSON; '' when it is wanted no more).
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and ARGV[2] ~= '' and cjson.decode(held)['epoch'] > tonumber(ARGV[2]) then
  return 0
end
if ARGV[3] == '' then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
