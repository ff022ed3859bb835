-- Renew a lease. KEYS: slot. ARGV: gateway, epoch, milliseconds to hold. Returns 1, or 0 when the slot is under a newer epoch.
-- A missing record, or one of an older epoch, means that Redis has lost what it had: the holder writes it anew. Returns 2 then.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[2]) then
  return 0
end
redis.call('HSET', KEYS[1], 'gateway', ARGV[1], 'epoch', ARGV[2], 'expiresAt', string.format('%d', now + ARGV[3]))
return epoch == ARGV[2] and 1 or 2
