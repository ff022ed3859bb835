-- Put a claimed slot under another, newer epoch. KEYS: slot. ARGV: gateway, epoch of the claim, milliseconds to hold.
-- Returns the epoch, or nil when somebody else has taken the slot. A missing record means that Redis has lost what it had.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local claimed = tonumber(ARGV[2])
if tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') > claimed then
  return nil
end
local epoch = string.format('%d', math.max(claimed + 1, now))
redis.call('HSET', KEYS[1], 'gateway', ARGV[1], 'epoch', epoch, 'expiresAt', string.format('%d', now + ARGV[3]))
return epoch
