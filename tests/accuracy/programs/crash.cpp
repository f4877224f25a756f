// Ends in the way that its argument names, through templates, lambdas, virtual functions and the C++ run-time.
#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

volatile int zero;
volatile long sink;

#define KEEP __attribute__((noinline))

namespace shop {
enum class Kind : std::uint8_t { Book = 1, Food = 4, Tool };
enum Unscoped { ONE = 1, TWO, MANY = -5 };

struct Item {
    std::string name;
    Kind kind;
    int price;
    bool operator<(const Item &other) const { return price < other.price; }
};

class Shape {
public:
    virtual ~Shape() = default;
    virtual double area(int scale) const = 0;
};
class Square final : public Shape {
    double side_;
public:
    explicit Square(double side) : side_(side) {}
    KEEP double area(int scale) const override
    {
        double result = side_ * side_ * scale;
        sink = static_cast<long>(result);
        *reinterpret_cast<volatile int *>(static_cast<std::uintptr_t>(zero)) = scale;
        return result;
    }
};
class Both : public virtual Shape, public std::enable_shared_from_this<Both> {
public:
    int tag = 9;
    KEEP double area(int scale) const override
    {
        sink = tag + scale;
        std::abort();
    }
};

template <typename Key, typename Value, std::size_t Limit = 4> class Cache {
    std::map<Key, std::shared_ptr<Value>> entries_;
public:
    void put(Key key, Value value) { entries_[key] = std::make_shared<Value>(std::move(value)); }
    KEEP const Value &get(const Key &key) const { return *entries_.at(key); }
    template <typename Visit> KEEP int each(Visit &&visit, int start) const
    {
        int sum = start;
        for (const auto &[key, value] : entries_) sum += visit(key, *value);
        return sum;
    }
};

namespace {
struct Hidden {
    long state = 42;
    KEEP long operator()(long by)
    {
        state += by;
        if (state > 40) std::abort();
        return state;
    }
};
template <int N> KEEP int countdown(const std::array<int, 3> &steps)
{
    int here = N + steps[0];
    sink = here;
    if constexpr (N == 0) {
        std::abort();
    } else {
        return countdown<N - 1>(steps) + here;
    }
}
} // namespace
} // namespace shop

using namespace shop;

KEEP int by_segv(int count, const std::string &label)
{
    std::vector<Item> items{{"pen", Kind::Tool, 3}, {label, Kind::Food, 2}, {"novel", Kind::Book, 7}};
    int compared = 0;
    std::sort(items.begin(), items.end(), [&](const Item &left, const Item &right) {
        if (++compared == count) *reinterpret_cast<volatile int *>(static_cast<std::uintptr_t>(zero)) = compared;
        return left < right;
    });
    return items[0].price;
}

KEEP int by_throw(std::string who)
{
    Cache<std::string, Item> cache;
    cache.put("alice", Item{"pen", Kind::Tool, 3});
    return cache.get(who).price;
}

KEEP int by_terminate(int value) noexcept
{
    struct Guard {
        int code;
        ~Guard() { sink = code; }
    } guard{value};
    if (value) throw std::runtime_error("left a noexcept function");
    return guard.code;
}

KEEP double by_virtual(const Shape &shape, Unscoped many) { return shape.area(many == MANY ? 3 : 1) + 1; }

KEEP int by_function(const std::function<int(int, std::string_view)> &act, int value)
{
    int result = act(value, "text");
    sink = result;
    return result + 1;
}

KEEP int by_visitor(std::variant<int, double, std::string> value)
{
    return std::visit(
        [](auto &&held) -> int {
            using Held = std::decay_t<decltype(held)>;
            sink = static_cast<long>(sizeof(Held));
            std::abort();
        },
        value);
}

KEEP int by_containers(int &reference, int &&temporary)
{
    std::string text = "short", longer(100, 'x');
    std::vector<int> numbers{1, 2, 3};
    std::vector<bool> bits{true, false, true};
    std::map<int, std::string> names{{1, "one"}, {2, "two"}};
    std::set<char> letters{'a', 'b'};
    std::unordered_map<std::string, int> ages{{"bob", 40}};
    std::unique_ptr<Item> owned = std::make_unique<Item>(Item{"pen", Kind::Tool, 3});
    std::shared_ptr<int> common = std::make_shared<int>(5);
    std::optional<int> maybe = 7, nothing;
    std::pair<int, char> pair{1, 'c'};
    std::tuple<int, double, const char *> tuple{1, 2.5, "three"};
    int Item::*member = &Item::price;
    double (Shape::*method)(int) const = &Shape::area;
    wchar_t wide = L'w';
    char16_t sixteen = u'\u20ac';
    long double extended = 1.25L;
    __int128 huge = static_cast<__int128>(1) << 100;
    sink = reference + temporary + numbers[0] + names.size() + letters.size() + ages.size() + owned->price + *common +
           *maybe + pair.first + std::get<0>(tuple) + wide + sixteen + static_cast<long>(extended) +
           static_cast<long>(huge >> 99) + longer.size() + text.size() + bits.size() + nothing.has_value() +
           (owned.get()->*member) + (method != nullptr);
    std::abort();
}

KEEP int by_threads(int count)
{
    std::mutex mutex;
    std::condition_variable ready;
    int waiting = 0;
    std::vector<std::thread> pool;
    for (int id = 0; id < count; id++)
        pool.emplace_back([&, id] {
            std::unique_lock<std::mutex> guard(mutex);
            waiting++;
            ready.wait(guard, [&] { return waiting < 0 && id < 0; });
        });
    for (;;) {
        std::unique_lock<std::mutex> guard(mutex);
        if (waiting == count) break;
        guard.unlock();
        std::this_thread::yield();
    }
    std::thread last([&] {
        std::lock_guard<std::mutex> guard(mutex);
        Hidden hidden;
        hidden(waiting);
    });
    last.join();
    return waiting;
}

KEEP int by_rethrow(int value)
{
    try {
        try {
            throw std::logic_error("inner");
        } catch (const std::exception &inner) {
            sink = inner.what()[0] + value;
            std::throw_with_nested(std::out_of_range("outer"));
        }
    } catch (const std::domain_error &) {
        return 1;
    }
    return value;
}

KEEP int by_constructor(int value)
{
    struct Part {
        int number;
        explicit Part(int n) : number(n)
        {
            sink = number;
            if (number == 3) std::abort();
        }
        ~Part() { sink = -number; }
    };
    std::array<std::unique_ptr<Part>, 4> parts;
    for (int i = 0; i < 4; i++) parts[i] = std::make_unique<Part>(i + value - value);
    return parts[0]->number;
}

int main(int argc, char **argv)
{
    const std::string how = argc > 1 ? argv[1] : "";
    int count = argc;
    Square square(1.5);
    if (how == "segv") return by_segv(count, "bread");
    if (how == "throw") return by_throw("bob");
    if (how == "terminate") return by_terminate(count);
    if (how == "virtual") return static_cast<int>(by_virtual(square, MANY));
    if (how == "base") return static_cast<int>(by_virtual(*std::make_shared<Both>(), ONE));
    if (how == "function")
        return by_function(
            [&](int value, std::string_view text) -> int {
                sink = value + static_cast<long>(text.size()) + count;
                std::abort();
            },
            count);
    if (how == "visitor") return by_visitor(2.5);
    if (how == "containers") return by_containers(count, 4);
    if (how == "threads") return by_threads(6);
    if (how == "rethrow") return by_rethrow(count);
    if (how == "constructor") return by_constructor(count);
    if (how == "template") return countdown<5>({1, 2, 3});
    if (how == "each") {
        Cache<int, Item> cache;
        cache.put(1, Item{"pen", Kind::Tool, 3});
        return cache.each([&](int key, const Item &item) -> int { return by_virtual(square, ONE), key + item.price; }, 2);
    }
    std::fprintf(stderr, "not crashed: %s\n", how.c_str());
    return 2;
}
