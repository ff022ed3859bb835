-- Note that a slot wants a room, or no more, unless it has a newer holder, or none under this epoch (as `router.interest` has it).
-- KEYS: the slot's holder, its rooms. ARGV: room, fencing epoch ('' for any), gateway, interest record (JSON; '' when it is wanted no more).
local known = redis.call('HMGET', KEYS[1], 'epoch', 'gateway')
local newest, epoch = tonumber(known[1] or '0'), tonumber(ARGV[2])
if epoch and epoch < newest then
  return 0
end
if ARGV[4] == '' then
  return redis.call('HDEL', KEYS[2], ARGV[1])
end
if epoch == newest and known[2] == '' then
  return 0
end
if epoch > newest then
  redis.call('UNLINK', KEYS[2])
  redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'gateway', ARGV[3])
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
return 1
