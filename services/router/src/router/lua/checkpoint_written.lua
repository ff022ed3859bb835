-- Write changes to a checkpoint, all or none.
-- KEYS: checkpoint. ARGV: generation, 'whole' to begin it anew, stream's epoch, the offset that it has ('' while a whole one is written),
-- offset up to which it holds with this ('' when more of it is to come), number of removed fields, those, then fields and values.
-- Returns 1; 0 when a newer owner has it; -1 when it is not as it was left, as Redis was emptied or put back: begin it anew.
local held = redis.call('HMGET', KEYS[1], 'generation', 'offset')
local generation = tonumber(held[1] or '0')
if generation > tonumber(ARGV[1]) then
  return 0
end
if ARGV[2] == 'whole' then
  redis.call('DEL', KEYS[1])
elseif generation < tonumber(ARGV[1]) or (held[2] or '') ~= ARGV[4] then
  return -1
end
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'stream', ARGV[3])
local first = 7 + tonumber(ARGV[6])
for n = 7, first - 1 do
  redis.call('HDEL', KEYS[1], ARGV[n])
end
for n = first, #ARGV - 1, 2 do
  redis.call('HSET', KEYS[1], ARGV[n], ARGV[n + 1])
end
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'offset', ARGV[5])
end
return 1
