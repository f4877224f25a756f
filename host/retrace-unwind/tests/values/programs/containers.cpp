#include <string>
#include <string_view>
#include <vector>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <memory>
#include <optional>
#include <variant>
#include <tuple>
#include <deque>
#include <list>
#include <array>
#include <atomic>
struct P { int x; std::string name; };
int test(int n) {
  std::string s = "hello", empty, longs(300, 'x'); std::wstring ws = L"wide"; std::string_view sv = "view";
  std::vector<int> v{1,2,3}, ve; std::vector<bool> vb{true,false,true}; std::vector<std::string> vs{"a","b"}; std::vector<P> vp{{1,"n"}}; std::vector<char> vc{'a','b'};
  std::vector<int> big(500, 3); std::vector<int> seq; for (int i = 0; i < 300; i++) seq.push_back(i);
  std::map<int, std::string> m{{1,"one"},{2,"two"}}; std::set<int> st{3,1,2}; std::multimap<int,int> mm{{1,2},{1,3}}; std::map<std::string,int> me;
  std::unordered_map<int,int> um{{1,2},{3,4}}; std::unordered_set<int> us{5,6}; std::unordered_map<std::string,std::vector<int>> ums{{"k",{1,2}}};
  std::unique_ptr<int> up(new int(5)), une; std::shared_ptr<P> sp = std::make_shared<P>(), spe; std::weak_ptr<P> wp = sp, wpe;
  std::optional<int> o = 5, oe; std::optional<std::string> os = "opt"; std::variant<int, std::string> va = "str", vi = 3;
  std::tuple<int, double, std::string> t{1, 2.5, "x"}; std::pair<int, char> pr{1,'c'}; std::deque<int> d{1,2,3}, de; std::list<int> l{4,5}, le; std::array<int,3> a{1,2,3};
  std::atomic<int> at{4}; std::unique_ptr<P> upp(new P{3,"pp"}); std::deque<int> dl(1000, 1); for (int i=0;i<1000;i++) dl[i]=i;
  const std::string &rs = s; std::string *ps = &s; std::vector<std::vector<int>> vv{{1},{2,3}}; std::tuple<> te; auto lam = [v, &s](){ return v.size(); };
  __builtin_trap();
}
int main() { test(3); }
